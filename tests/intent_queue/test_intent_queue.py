"""The intent-queue over the log's twin: every message answered, shown, and closed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest

from domain.delivery_events import DeploymentHealthy
from domain.errors import LogRefused, PhoenixError, TransientError
from domain.governance_events import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    DecisionMade,
    DecisionOverridden,
)
from domain.intent import IntentCompleted, IntentFailed, IntentQueued
from infra.ports import Append, Fence, Outcome
from projections.intents import INTENTS, OPEN_RAW, REFUSALS
from services.intent_queue.service import create
from tests.support.context import T0, World, running
from tests.support.memory import MemoryLog

GOOD: dict[str, Any] = {
    "service_name": "revenue-analytics",
    "purpose": "Track revenues by source and month",
}
TICKETS = {"service_name": "ticket-desk", "purpose": "Answer support tickets in their order"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as opened:
        yield opened


def decision(intent_id: str, outcome: str, attempt: int = 1) -> DecisionMade:
    return DecisionMade.model_validate(
        {
            "intent_id": intent_id,
            "attempt": attempt,
            "at": T0,
            "decision_id": "d",
            "decision": outcome,
            "policy_applied": "block_misaligned",
            "conditions": (),
            "inputs": {},
            "mode": "autonomous",
            "bundle_digest": "b",
            "reasoning": "alignment 0.40 is below 0.70",
            "next_action": "notify_user",
        }
    )


def override(intent_id: str, outcome: Literal["auto_approve", "blocked"]) -> DecisionOverridden:
    return DecisionOverridden(
        intent_id=intent_id,
        at=T0,
        decision_id="d",
        decision=outcome,
        by="bob",
        reason="looked at in person",
    )


def rejection(intent_id: str) -> ApprovalRejected:
    return ApprovalRejected(
        intent_id=intent_id, at=T0, approval_id="a", digest="x", approver="ann", reason="not now"
    )


async def submit(world: World, body: dict[str, Any], *, expect: int = 202) -> dict[str, Any]:
    answer = await world.call("POST", "/intents/submit", json=body, token="ann", expect=expect)
    assert isinstance(answer, dict)
    return answer


async def test_a_submitted_intent_is_queued_and_shown(world: World) -> None:
    answer = await submit(world, GOOD)
    assert answer["status"] == "queued"
    assert answer["queue_position"] == 1
    shown = await world.call("GET", f"/intents/{answer['intent_id']}")
    assert shown["service_name"] == "revenue-analytics"
    assert shown["submitted_by"] == "ann"
    assert shown["authenticated"] is True
    assert [phase["phase"] for phase in shown["lifecycle"]] == ["queued"]


async def test_a_message_on_nats_becomes_an_intent(world: World) -> None:
    await world.log.publish("intents.submit", json.dumps(GOOD).encode())
    await world.until(lambda: world.ctx.views.count(INTENTS) == 1)
    listed = await world.call("GET", "/intents")
    assert listed["total"] == 1
    assert listed["items"][0]["source"] == "nats"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed"),
        (b'{"service_name": 5}', "invalid"),
        (b" " * 300_000, "too_large"),
    ],
)
async def test_a_bad_message_on_nats_becomes_a_refusal(
    world: World, body: bytes, code: str
) -> None:
    position = await world.log.publish("intents.submit", body)
    await world.until(lambda: world.ctx.views.count(REFUSALS) == 1)
    (refusal,) = world.ctx.views.all(REFUSALS)
    assert (refusal.code, refusal.raw_position) == (code, position)
    assert world.ctx.views.count(OPEN_RAW) == 0


class Failing(MemoryLog):
    """Fails the first appends that are handed over, each in the way given for its turn."""

    def __init__(self, *errors: PhoenixError | None) -> None:
        super().__init__()
        self.errors = list(errors)

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for append in appends:
            error = self.errors.pop(0) if self.errors else None
            outcomes += [error] if error else await super().append_each([append], fence=fence)
        return outcomes


async def test_answers_that_fail_are_given_again_or_in_short_and_each_message_has_one(
    tmp_path: Path,
) -> None:
    log = Failing(None, TransientError("no answer in time"), LogRefused("does not fit"))
    bodies = [
        GOOD,
        TICKETS,
        {"service_name": "fuel-cards", "purpose": "Count litres of fuel by van and month"},
        {"service_name": "boat-berths", "purpose": "List the berths of boats by size"},
    ]
    positions = [await log.publish("intents.submit", json.dumps(b).encode()) for b in bodies]
    async with running(create, tmp_path, log=log) as world:
        await world.until(lambda: world.ctx.views.count(INTENTS) == 3)
        await world.until(lambda: world.ctx.views.count(OPEN_RAW) == 0)
        (refusal,) = world.ctx.views.all(REFUSALS)
        assert (refusal.code, refusal.raw_position) == ("too_large", positions[2])
        listed = {row.raw_position for row in world.ctx.views.all(INTENTS)}
        assert listed == {positions[0], positions[1], positions[3]}
        # What did not come in is not in the way of its like.
        again = await submit(world, bodies[2])
        assert again["status"] == "queued"


async def test_the_same_id_twice_is_one_intent_with_the_same_answer(world: World) -> None:
    body = {**GOOD, "intent_id": str(uuid4())}
    first = await submit(world, body)
    second = await submit(world, body, expect=200)
    assert second["intent_id"] == first["intent_id"]
    other = {**body, "purpose": "Something else entirely"}
    assert (await submit(world, other, expect=409))["code"] == "id_in_use"


async def test_a_duplicate_is_refused_until_the_first_has_ended(world: World) -> None:
    first = await submit(world, GOOD)
    again = await submit(world, GOOD, expect=409)
    assert (again["code"], again["existing"]) == ("duplicate", first["intent_id"])
    await world.call("DELETE", f"/intents/{first['intent_id']}", token="ann")
    assert (await submit(world, GOOD))["status"] == "queued"


async def test_a_refused_field_is_named_as_a_problem(world: World) -> None:
    answer = await submit(world, {**GOOD, "target_tier": 9}, expect=422)
    assert answer["field"] == "target_tier"
    assert "less than or equal to 3" in answer["detail"]


async def test_many_messages_at_once_are_each_answered_once(world: World) -> None:
    names = [chr(97 + n // 26) + chr(97 + n % 26) for n in range(60)]
    for name in names:
        body = {"service_name": f"svc-{name * 3}", "purpose": f"{name} " * 12}
        await world.log.publish("intents.submit", json.dumps(body).encode())
    await world.until(lambda: world.ctx.views.count(INTENTS) == len(names))
    assert world.ctx.views.count(REFUSALS) == 0
    queue = await world.call("GET", "/intents/queue?limit=500")
    assert [item["queue_position"] for item in queue["items"]] == list(range(1, len(names) + 1))


async def test_the_queue_is_ordered_by_priority_then_age(world: World) -> None:
    low = await submit(world, {**GOOD, "priority": "low"})
    high = await submit(world, {**TICKETS, "priority": "high"})
    queue = await world.call("GET", "/intents/queue")
    assert [item["intent_id"] for item in queue["items"]] == [high["intent_id"], low["intent_id"]]
    path = f"/intents/{low['intent_id']}/priority"
    await world.call("PATCH", path, json={"priority": "critical"}, token="ann")
    queue = await world.call("GET", "/intents/queue")
    assert queue["items"][0]["intent_id"] == low["intent_id"]


async def test_a_blocked_intent_is_closed_and_can_be_seen_why(world: World) -> None:
    intent_id = (await submit(world, GOOD))["intent_id"]
    await world.append(decision(intent_id, "blocked"), correlation_id=intent_id)
    await world.until(lambda: world.ctx.views.count(INTENTS, status="blocked") == 1)
    events = [r.event for r in await world.log.read(f"events.intent.{intent_id}")]
    assert isinstance(events[-1], IntentFailed)
    assert events[-1].reason == "alignment 0.40 is below 0.70"
    timeline = await world.call("GET", f"/intents/{intent_id}/timeline")
    assert [item["type"] for item in timeline["items"]] == [
        "IntentQueued",
        "DecisionMade",
        "IntentFailed",
    ]
    positions = [item["position"] for item in timeline["items"]]
    assert positions == sorted(positions)


async def ended(world: World, *, by: str) -> str:
    """An intent that governance has ended, and the queue has closed."""
    intent_id = str((await submit(world, GOOD))["intent_id"])
    if by == "a person":
        await world.append(decision(intent_id, "requires_approval"), rejection(intent_id))
    else:
        await world.append(decision(intent_id, "blocked"))
    await world.until(lambda: world.ctx.views.count(INTENTS, open=False) == 1)
    return intent_id


async def attempts_of(world: World, intent_id: str) -> list[int]:
    history = await world.log.read(f"events.intent.{intent_id}")
    return [r.event.attempt for r in history if isinstance(r.event, IntentQueued)]


def attempt(world: World, intent_id: str) -> int:
    row = world.ctx.views.get(INTENTS, intent_id)
    return row.attempt if row else 0


@pytest.mark.parametrize("by", ["a policy", "a person"])
async def test_an_override_opens_what_governance_ended_and_history_stays(
    world: World, by: str
) -> None:
    intent_id = await ended(world, by=by)
    before = await world.log.read(f"events.intent.{intent_id}")
    await world.append(override(intent_id, "auto_approve"))
    await world.until(lambda: attempt(world, intent_id) == 2)
    await world.append(decision(intent_id, "blocked", attempt=2))  # as the policies still say

    shown = await world.call("GET", f"/intents/{intent_id}")
    assert (shown["status"], shown["governance_decision"]) == ("spec_generation", "auto_approve")
    assert shown["policy_matched"] == "block_misaligned"
    phases = [step["phase"] for step in shown["lifecycle"]]
    end = "blocked" if by == "a policy" else "rejected"
    assert phases[-3:] == [end, "queued", "spec_generation"]
    history = await world.log.read(f"events.intent.{intent_id}")
    assert history[: len(before)] == before
    assert await attempts_of(world, intent_id) == [1, 2]
    timeline = await world.call("GET", f"/intents/{intent_id}/timeline")
    assert [line["summary"] for line in timeline["items"]][-3:] == [
        "auto_approve by bob: looked at in person",
        "revenue-analytics, tier 2, medium, attempt 2",
        "blocked by block_misaligned",
    ]


async def test_answers_to_a_replaced_question_do_not_count_for_the_next(world: World) -> None:
    intent_id = (await submit(world, GOOD))["intent_id"]

    def question(approval_id: str) -> ApprovalRequested:
        return ApprovalRequested(
            intent_id=intent_id, at=T0, approval_id=approval_id, decision_id="d", digest="x",
            summary="s", quorum=2, expires_at=T0,
        )  # fmt: skip

    def grant(approver: str, approval_id: str) -> ApprovalGranted:
        return ApprovalGranted(
            intent_id=intent_id, at=T0, approval_id=approval_id, digest="x", approver=approver
        )

    ask = decision(intent_id, "requires_approval")
    await world.append(ask, question("a"), grant("ann", "a"), ask, question("b"), grant("bob", "b"))
    assert (await world.call("GET", f"/intents/{intent_id}"))["status"] == "awaiting_approval"
    await world.append(grant("ann", "b"))
    assert (await world.call("GET", f"/intents/{intent_id}"))["status"] == "spec_generation"


async def test_an_override_counts_although_the_end_was_on_its_way(world: World) -> None:
    intent_id = str((await submit(world, GOOD))["intent_id"])
    blocked = IntentFailed(
        intent_id=intent_id, at=T0, status="blocked", phase="governance_check", reason="low"
    )
    await world.append(override(intent_id, "auto_approve"), blocked)
    await world.until(lambda: attempt(world, intent_id) == 2)
    assert await attempts_of(world, intent_id) == [1, 2]


async def test_an_override_before_the_end_keeps_the_intent_open(world: World) -> None:
    intent_id = str((await submit(world, GOOD))["intent_id"])
    await world.append(
        decision(intent_id, "requires_approval"), override(intent_id, "auto_approve")
    )
    shown = await world.call("GET", f"/intents/{intent_id}")
    assert (shown["status"], shown["attempt"]) == ("spec_generation", 1)


async def test_the_last_override_counts(world: World) -> None:
    intent_id = await ended(world, by="a policy")
    await world.append(override(intent_id, "auto_approve"))
    await world.until(lambda: attempt(world, intent_id) == 2)
    await world.append(override(intent_id, "blocked"))
    await world.until(lambda: world.ctx.views.count(INTENTS, status="blocked") == 1)
    shown = await world.call("GET", f"/intents/{intent_id}")
    assert shown["outcome"] == "blocked by bob: looked at in person"
    await world.append(override(intent_id, "auto_approve"))
    await world.until(lambda: attempt(world, intent_id) == 3)


async def test_an_override_opens_nothing_that_was_cancelled_or_has_failed(world: World) -> None:
    intent_id = str((await submit(world, GOOD))["intent_id"])
    await world.call("DELETE", f"/intents/{intent_id}?reason=no+need", token="ann")
    await world.append(override(intent_id, "auto_approve"))
    other = str((await submit(world, TICKETS))["intent_id"])  # the queue has looked again
    await world.append(decision(other, "blocked"))
    await world.until(lambda: world.ctx.views.count(INTENTS, status="blocked") == 1)
    assert await attempts_of(world, intent_id) == [1]


async def test_a_healthy_deployment_completes_its_intent(world: World) -> None:
    intent_id = (await submit(world, GOOD))["intent_id"]
    healthy = DeploymentHealthy(
        at=T0,
        service_name="revenue-analytics",
        version="1.0.0",
        intent_id=intent_id,
        url="http://127.0.0.1:8300",
        checks=("health",),
        duration_s=1.0,
    )
    await world.append(healthy, correlation_id=intent_id)
    await world.until(lambda: world.ctx.views.count(INTENTS, status="completed") == 1)
    events = [r.event for r in await world.log.read(f"events.intent.{intent_id}")]
    assert isinstance(events[-1], IntentCompleted)
    shown = await world.call("GET", f"/intents/{intent_id}")
    assert shown["deployment_url"] == "http://127.0.0.1:8300"
    assert shown["version"] == "1.0.0"


async def test_a_cancelled_intent_stays_cancelled_and_can_be_retried(world: World) -> None:
    intent_id = (await submit(world, GOOD))["intent_id"]
    await world.call("DELETE", f"/intents/{intent_id}?reason=no+need", token="ann")
    await world.append(decision(intent_id, "blocked"), correlation_id=intent_id)
    shown = await world.call("GET", f"/intents/{intent_id}")
    assert (shown["status"], shown["outcome"]) == ("cancelled", "cancelled: no need")
    again = await world.call("POST", f"/intents/{intent_id}/retry", token="ann")
    assert again["status"] == "queued"
    shown = await world.call("GET", f"/intents/{intent_id}")
    assert shown["attempt"] == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/intents/submit"),
        ("POST", "/intents/batch"),
        ("PATCH", "/intents/x/priority"),
        ("DELETE", "/intents/x"),
        ("POST", "/intents/x/retry"),
    ],
)
async def test_every_write_needs_a_known_token(world: World, method: str, path: str) -> None:
    answer = await world.call(method, path, json={}, expect=401)
    assert answer["status"] == 401
    await world.call(method, path, json={}, token="stranger", expect=401)


async def test_a_batch_answers_each_intent_on_its_own(world: World) -> None:
    body = {"intents": [GOOD, {"service_name": "x"}, TICKETS]}
    answer = await world.call("POST", "/intents/batch", json=body, token="ann")
    assert [result["status_code"] for result in answer["results"]] == [202, 422, 202]


async def test_duplicate_check_records_nothing(world: World) -> None:
    first = await submit(world, GOOD)
    before = await world.log.last_position()
    answer = await world.call("POST", "/intents/duplicate-check", json=GOOD)
    assert (answer["duplicate"], answer["existing"]) == (True, first["intent_id"])
    assert not (await world.call("POST", "/intents/duplicate-check", json=TICKETS))["duplicate"]
    assert await world.log.last_position() == before


async def test_unknown_filters_ids_and_cursors_are_named(world: World) -> None:
    assert (await world.call("GET", "/intents/unknown", expect=404))["status"] == 404
    assert "status" in (await world.call("GET", "/intents?status=odd", expect=422))["detail"]
    assert "cursor" in (await world.call("GET", "/intents?cursor=odd", expect=422))["detail"]
    assert "limit" in (await world.call("GET", "/intents?limit=0", expect=422))["detail"]


async def test_pages_join_to_the_whole_list(world: World) -> None:
    for name in ("aaa", "bbb", "ccc", "ddd", "eee"):
        await submit(world, {"service_name": f"{name}-{name}", "purpose": f"{name} {name} {name}"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = await world.call("GET", f"/intents?limit=2&cursor={cursor}")
        seen += [item["service_name"] for item in page["items"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == ["eee-eee", "ddd-ddd", "ccc-ccc", "bbb-bbb", "aaa-aaa"]


async def test_a_submitter_is_told_where_the_message_is_when_nobody_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.intent_queue.receipt._WAIT_S", 0.05)
    async with running(create, tmp_path, lead=False) as world:
        answer = await submit(world, GOOD)
        assert answer["position"] == await world.log.last_position()
        assert "nobody has answered" in answer["note"]


async def test_a_new_leader_answers_what_the_old_one_left(tmp_path: Path) -> None:
    async with running(create, tmp_path / "a", lead=False) as old:
        await old.log.publish("intents.submit", json.dumps(GOOD).encode())
        async with running(create, tmp_path / "b", log=old.log) as new:
            await new.until(lambda: new.ctx.views.count(INTENTS) == 1)
        await old.seen()
        assert old.ctx.views.count(INTENTS) == 1


async def test_the_subscription_ends_with_the_intent(world: World) -> None:
    intent_id = (await submit(world, GOOD))["intent_id"]
    lines: list[str] = []

    async def listen() -> None:
        answer = await world.client.get(f"/intents/{intent_id}/subscribe")
        lines.extend(answer.text.splitlines())

    listening = asyncio.create_task(listen())
    await world.call("DELETE", f"/intents/{intent_id}", token="ann")
    await asyncio.wait_for(listening, 10)
    assert [line for line in lines if line.startswith("event:")] == [
        "event: IntentQueued",
        "event: IntentCancelled",
    ]
