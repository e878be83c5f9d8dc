"""The same service on a real log: JetStream's conditions, and leadership that is lost."""

from pathlib import Path

from domain.errors import StaleEpoch
from domain.governance_events import DecisionMade
from domain.instance import LeadershipTaken
from infra.nats.log import JetStreamLog
from infra.ports import Meta, Write
from tests.governance.test_service import GOVERNANCE, INFRASTRUCTURE, REVENUE
from tests.governance.world import governance
from tests.support.context import T0


async def test_intents_are_decided_in_order_of_priority_on_jetstream(
    log: JetStreamLog, tmp_path: Path
) -> None:
    async with governance(tmp_path, log=log) as world:
        low = await world.queue(REVENUE, priority="low")
        high = await world.queue(GOVERNANCE, priority="critical", **INFRASTRUCTURE)
        made = (await world.decided(low))[1]
        asked = await world.decided(high, count=3)
        assert isinstance(made, DecisionMade)
        assert made.decision == "auto_approve"
        assert [event.type for event in asked] == [
            "AlignmentAssessed.v1",
            "DecisionMade.v1",
            "ApprovalRequested.v1",
        ]
        answer = await world.post(f"/governance/decisions/{low.intent_id}/replay")
        assert answer["identical"] is True


async def test_a_leader_that_was_replaced_writes_nothing_more(
    log: JetStreamLog, tmp_path: Path
) -> None:
    async with governance(tmp_path, log=log) as world:
        await world.decided(await world.queue(REVENUE))
        newer = LeadershipTaken(
            at=T0, service="governance", instance="governance-2", epoch=2, reason="expired"
        )
        await log.append([Write(newer)], meta=Meta(command_id="newer", actor="test"))
        late = await world.queue("Track warehouse stock levels and weekly shortages")
        error = await world.deposed()
        assert await log.read(f"events.governance.{late.intent_id}") == []
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(StaleEpoch) is not None
