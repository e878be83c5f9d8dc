"""The factory on a real log: one atomic append, fenced; a stopped leader leaves its work behind."""

from pathlib import Path

from domain.delivery_events import SpecAccepted
from infra.nats.log import JetStreamLog
from projections.specs import PIPELINES
from services.sovereign_factory.service import create
from tests.spec.intents import ORDERS, VAGUE, intent
from tests.spec.test_factory import ID, clear, events, settled
from tests.support.context import running


async def test_a_spec_is_one_fenced_batch_on_the_log(log: JetStreamLog, tmp_path: Path) -> None:
    async with running(create, tmp_path, log=log) as world:
        await clear(world, intent())
        assert (await settled(world)).status == "accepted"
        stored = await log.read(f"events.spec.{ID}")
        positions = [recorded.position for recorded in stored]
        assert positions == list(range(positions[0], positions[0] + len(stored)))
        assert isinstance(stored[-1].event, SpecAccepted)


async def test_a_question_is_answered_on_a_standby(log: JetStreamLog, tmp_path: Path) -> None:
    async with running(create, tmp_path, log=log) as world:
        await clear(world, VAGUE)
        assert (await settled(world)).status == "needs_detail"
        body = {"spec": ORDERS}
        answer = await world.call("POST", f"/specs/{ID}/detail", json=body, token="ann")
        assert answer["status"] == "accepted"
        assert await events(world) == [
            "SpecNeedsDetail", "SpecDrafted", "SpecVerified", "SpecAccepted",
        ]  # fmt: skip


async def test_what_no_leader_did_waits_for_the_next_one(log: JetStreamLog, tmp_path: Path) -> None:
    async with running(create, tmp_path / "standby", log=log, lead=False) as world:
        await clear(world, intent())
        await world.seen()
        assert world.ctx.views.count(PIPELINES, open=True) == 1
        assert await events(world) == []
    async with running(create, tmp_path / "leader", log=log) as world:
        assert (await settled(world)).status == "accepted"
