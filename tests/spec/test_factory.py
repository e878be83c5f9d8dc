"""The sovereign factory: a SPEC for every cleared intent, questions where there is none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_events import (
    BuildStarted,
    DeploymentHealthy,
    PortReserved,
    ServiceRegistered,
    SpecAccepted,
    SpecDrafted,
    SpecNeedsDetail,
    SpecOptimized,
    SpecVerified,
)
from domain.governance_events import (
    ApprovalGranted,
    ApprovalRequested,
    DecisionMade,
    DecisionOverridden,
)
from domain.intent import Intent, IntentCancelled, IntentCompleted, IntentFailed, IntentQueued
from domain.spec.model import read_spec, spec_digest
from domain.spec.parse import parse
from projections.specs import PIPELINES, SPECS
from services.sovereign_factory.service import create
from tests.spec.intents import ORDERS, VAGUE, intent
from tests.support.context import T0, World, running

ID = intent().intent_id


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as opened:
        yield opened


def queued(given: Intent, attempt: int = 1) -> IntentQueued:
    return IntentQueued(
        intent_id=given.intent_id, at=T0, intent=given, raw_position=1, attempt=attempt
    )


def decided(given: Intent, decision: str = "auto_approve", attempt: int = 1) -> DecisionMade:
    return DecisionMade.model_validate(
        {
            "intent_id": given.intent_id,
            "at": T0,
            "decision_id": f"d-{given.intent_id}-{attempt}",
            "decision": decision,
            "policy_applied": "p",
            "conditions": (),
            "inputs": {},
            "mode": "autonomous",
            "bundle_digest": "b",
            "reasoning": "because",
            "next_action": "forward_to_spec_assembly",
            "attempt": attempt,
        }
    )


async def clear(world: World, given: Intent, attempt: int = 1) -> None:
    """Queue the intent and let governance approve it."""
    await world.append(queued(given, attempt), decided(given, attempt=attempt))


async def settled(world: World, intent_id: str = ID, attempt: int = 1) -> Any:
    """Wait until the factory is done with an attempt; return its row."""

    def done() -> bool:
        row = world.ctx.views.get(SPECS, intent_id)
        return row is not None and row.attempt == attempt and row.status != "drafted"

    await world.until(done)
    return world.ctx.views.get(SPECS, intent_id)


async def events(world: World, intent_id: str = ID) -> list[str]:
    stored = await world.log.read(f"events.spec.{intent_id}")
    return [recorded.event.type.removesuffix(".v1") for recorded in stored]


async def test_a_cleared_intent_gets_an_accepted_spec_in_one_append(world: World) -> None:
    await clear(world, intent())
    row = await settled(world)
    stored = await world.log.read(f"events.spec.{ID}")
    drafted, verified, accepted = (recorded.event for recorded in stored)
    assert isinstance(drafted, SpecDrafted)
    assert isinstance(verified, SpecVerified)
    assert isinstance(accepted, SpecAccepted)
    assert row.status == "accepted"
    assert accepted.score == verified.score.total >= accepted.gate == 90
    assert accepted.digest == spec_digest(read_spec(drafted.document))
    assert [recorded.epoch for recorded in stored] == [1, 1, 1]
    positions = [recorded.position for recorded in stored]
    assert positions == list(range(positions[0], positions[0] + 3))
    assert {recorded.correlation_id for recorded in stored} == {ID}


async def test_what_is_not_cleared_gets_no_spec(world: World) -> None:
    waiting, blocked = intent(), intent("other", intent_id="2" * 8)
    await world.append(queued(waiting), decided(waiting, "requires_approval"))
    await world.append(queued(blocked), decided(blocked, "blocked"))
    third = intent("third", intent_id="3" * 8)
    await clear(world, third)
    await settled(world, third.intent_id)
    assert await events(world) == []
    assert await events(world, blocked.intent_id) == []


async def test_an_approval_clears_an_intent(world: World) -> None:
    given = intent()
    asked = ApprovalRequested(
        intent_id=ID, at=T0, approval_id="a", decision_id=f"d-{ID}-1", digest="x",
        summary="s", expires_at=T0,
    )  # fmt: skip
    await world.append(queued(given), decided(given, "requires_approval"), asked)
    await world.seen()
    assert world.ctx.views.count(PIPELINES, open=True) == 0
    await world.append(
        ApprovalGranted(intent_id=ID, at=T0, approval_id="a", digest="x", approver="bob")
    )
    assert (await settled(world)).status == "accepted"


async def test_a_retirement_needs_no_spec(world: World) -> None:
    retirement = intent("parking-lots", intent_id="c" * 8, kind="retire")
    await clear(world, retirement)
    await clear(world, intent())
    await settled(world)
    assert await events(world, retirement.intent_id) == []


async def test_the_spec_of_a_component_is_its_source_and_its_tests(world: World) -> None:
    component = intent(
        "sovereign-factory", features=("Drafts typed specifications", "Scores each of them"),
        kind="component", intent_id="c" * 8,
    )  # fmt: skip
    await clear(world, component)
    row = await settled(world, component.intent_id)
    assert row.status == "accepted"
    assert row.version.endswith("+b1")
    assert len(row.document["source_digest"]) == 64
    assert row.document["tests"]
    assert await events(world, component.intent_id) == [
        "SpecDrafted", "SpecVerified", "SpecAccepted",
    ]  # fmt: skip
    text = (await world.client.get(f"/specs/{component.intent_id}/SPEC.md")).text
    assert row.document["source_digest"] in text


async def test_a_source_that_changed_since_the_submission_is_not_specified(world: World) -> None:
    component = intent(
        "sovereign-factory",
        kind="component",
        intent_id="c" * 8,
        metadata={"source_digest": "0" * 64},
    )
    await clear(world, component)
    row = await settled(world, component.intent_id)
    assert row.status == "needs_detail"
    assert "submit it again" in row.questions[0]


async def test_a_cancelled_intent_is_no_work(tmp_path: Path) -> None:
    async with running(create, tmp_path, lead=False) as world:
        given = intent()
        cancelled = IntentCancelled(intent_id=ID, at=T0, reason="no longer wanted")
        await world.append(queued(given), decided(given), cancelled)
        await world.seen()
        row = world.ctx.views.get(PIPELINES, ID)
        assert row is not None
        assert (row.stage, row.open) == ("ended", False)


async def test_too_little_becomes_questions_and_the_answer_becomes_a_spec(world: World) -> None:
    await clear(world, VAGUE)
    row = await settled(world)
    assert row.status == "needs_detail"
    assert any("Which records" in question for question in row.questions)
    assert await events(world) == ["SpecNeedsDetail"]

    answer = await world.call("POST", f"/specs/{ID}/detail", json={"spec": ORDERS}, token="ann")
    assert answer["status"] == "accepted"
    assert answer["score"] >= 90
    stored = await world.log.read(f"events.spec.{ID}")
    assert isinstance(stored[-1].event, SpecAccepted)
    assert {recorded.actor for recorded in stored[1:]} == {"ann"}
    assert answer["position"] == stored[-1].position
    shown = await world.call("GET", f"/specs/{ID}")
    assert [record["name"] for record in shown["spec"]["records"]] == ["customer", "order"]


async def test_an_answer_needs_a_person_a_question_and_a_spec(world: World) -> None:
    path = f"/specs/{ID}/detail"
    await world.call("POST", path, json={"spec": ORDERS}, expect=401)
    await world.call("POST", path, json={"spec": ORDERS}, token="ann", expect=404)
    await clear(world, VAGUE)
    await settled(world)
    wrong = {"records": [{"name": "a", "fields": [{"name": "b", "type": "c"}]}]}
    refused = await world.call("POST", path, json={"spec": wrong}, token="ann", expect=422)
    assert "records[0].fields[0].type" in str(refused)
    await world.call("POST", path, json={"spec": {}}, token="ann", expect=422)
    assert await events(world) == ["SpecNeedsDetail"]
    await world.call("POST", path, json={"spec": ORDERS}, token="ann")
    await world.call("POST", path, json={"spec": ORDERS}, token="ann", expect=409)


async def test_an_answer_with_the_same_key_counts_once(world: World) -> None:
    await clear(world, VAGUE)
    await settled(world)
    key, body, path = {"Idempotency-Key": "k"}, {"spec": ORDERS}, f"/specs/{ID}/detail"
    answers = await asyncio.gather(
        *(world.call("POST", path, json=body, token="ann", headers=key) for _ in range(3)),
        return_exceptions=True,
    )
    assert (await events(world)).count("SpecAccepted") == 1
    assert any(isinstance(answer, dict) for answer in answers)


async def test_a_wrong_spec_is_asked_about_place_by_place(world: World) -> None:
    bad = {"records": [{"name": "thing", "fields": [{"name": "kind", "type": "enum"}]}]}
    await clear(world, intent(spec=bad))
    row = await settled(world)
    assert row.questions == ("spec.records[0].fields[0].values: is required for an enum",)


async def test_a_rule_that_does_not_compile_is_never_accepted(tmp_path: Path) -> None:
    broken = {**ORDERS, "rules": [{**ORDERS["rules"][0], "check": "record.total >"}]}
    async with running(create, tmp_path, spec_gate=10.0) as world:
        await clear(world, intent(spec=broken))
        row = await settled(world)
        assert row.status == "needs_detail"
        assert any("rules[0].check" in question for question in row.questions)


async def test_a_port_of_somebody_else_is_never_accepted(world: World) -> None:
    await world.append(PortReserved(base=8311, at=T0, service_name="other"))
    await clear(world, intent(port=9311))
    row = await settled(world)
    assert row.status == "needs_detail"
    assert any("overlap with other on 8311" in question for question in row.questions)


async def test_a_dependency_that_is_not_there_costs_points_and_is_no_error(world: World) -> None:
    await world.append(ServiceRegistered(
        name="billing", at=T0, version="1.0.0", tier=2, port=8400, url="http://x"
    ))  # fmt: skip
    await clear(world, intent(dependencies=("billing", "nowhere")))
    row = await settled(world)
    assert row.status == "accepted"
    (found,) = [finding for finding in row.score.findings if finding.rule == "dependency"]
    assert "nowhere" in found.message


async def test_a_spec_below_the_gate_is_improved_on_the_record(world: World) -> None:
    given = intent(
        purpose="Revenue analytics",
        features=("Real-time revenue tracking", "Forecasting", "Anomaly detection"),
    )
    await clear(world, given)
    row = await settled(world)
    stored = [recorded.event for recorded in await world.log.read(f"events.spec.{ID}")]
    (improved,) = [event for event in stored if isinstance(event, SpecOptimized)]
    (verified,) = [event for event in stored if isinstance(event, SpecVerified)]
    assert improved.score.total > verified.score.total
    assert improved.changes
    assert improved.diff.startswith("--- before/SPEC.md")
    assert row.digest == improved.digest


async def test_what_stays_below_the_gate_waits_for_a_person(tmp_path: Path) -> None:
    async with running(create, tmp_path, spec_gate=100.0) as world:
        await clear(world, intent())
        row = await settled(world)
        assert row.status == "needs_detail"
        assert row.document
        assert any("purpose" in question for question in row.questions)


async def test_the_next_version_of_a_service_counts_on(world: World) -> None:
    await clear(world, intent())
    assert (await settled(world)).version == "1.0.0"
    again = intent(intent_id="a" * 8, spec=ORDERS)
    await clear(world, again)
    assert (await settled(world, again.intent_id)).version == "1.1.0"


async def test_a_retry_makes_a_new_spec_for_the_new_attempt(world: World) -> None:
    await clear(world, intent())
    await settled(world)
    await clear(world, intent(), attempt=2)
    row = await settled(world, attempt=2)
    assert (row.status, row.version) == ("accepted", "1.1.0")
    assert (await events(world)).count("SpecAccepted") == 2


async def test_the_same_work_by_a_second_leader_appends_nothing(tmp_path: Path) -> None:
    async with running(create, tmp_path / "a") as first:
        await clear(first, intent())
        await settled(first)
        before = await first.log.last_position()
        async with running(create, tmp_path / "b", log=first.log) as second:
            await settled(second)
            assert second.ctx.views.count(PIPELINES, open=True) == 0
        assert await first.log.last_position() == before


async def test_lists_details_and_markdown(world: World) -> None:
    await clear(world, intent())
    await settled(world)
    listed = await world.call("GET", "/specs?status=accepted")
    (item,) = listed["items"]
    assert (item["id"], item["service_name"], item["grade"]) == (
        ID,
        "revenue-analytics",
        "excellent",
    )
    shown = await world.call("GET", f"/specs/{ID}")
    assert shown["score"]["total"] == item["score"] == shown["total"]
    assert [step["event"] for step in shown["history"]] == [
        "SpecDrafted.v1", "SpecVerified.v1", "SpecAccepted.v1",
    ]  # fmt: skip
    answer = await world.client.get(f"/specs/{ID}/SPEC.md")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert parse(answer.text) == read_spec(shown["spec"])
    await world.call("GET", "/specs/nobody", expect=404)
    schema = await world.call("GET", "/specs/schema.json")
    assert "records" in schema["properties"]


async def test_verify_and_optimize_answer_anybody_and_record_nothing(world: World) -> None:
    before = await world.log.last_position()
    poor = await world.call("POST", "/specs/verify", json={"spec": ORDERS})
    assert poor["total"] < 90
    assert not poor["passes"]
    better = await world.call(
        "POST", "/specs/optimize", json={"spec": ORDERS, "purpose": "Keep orders"}
    )
    assert better["after"] > better["before"]
    assert better["passes"]
    again = await world.call("POST", "/specs/verify", json={"markdown": better["markdown"]})
    assert again["total"] == better["after"]
    whole = await world.call("POST", "/specs/verify", json={"spec": intent_body()})
    assert whole["total"] > poor["total"]
    assert whole["service_name"] == "desk"
    await world.call("POST", "/specs/verify", json={}, expect=422)
    await world.call("POST", "/specs/verify", json={"spec": {"records": 5}}, expect=422)
    assert await world.log.last_position() == before


def intent_body() -> dict[str, Any]:
    return {
        "service_name": "desk", "purpose": "Keep the orders of a small shop", "spec": ORDERS,
    }  # fmt: skip


async def test_pipelines_and_dashboard_follow_an_intent_to_its_end(world: World) -> None:
    await clear(world, intent())
    await clear(world, VAGUE.model_copy(update={"intent_id": "v" * 8}))
    await settled(world)
    await settled(world, "v" * 8)
    await world.append(BuildStarted(
        build_id="b1", intent_id=ID, at=T0, service_name="revenue-analytics", version="1.0.0",
        spec_digest="x", epoch=1,
    ))  # fmt: skip
    building = await world.call("GET", "/pipelines?stage=build")
    assert [(p["intent_id"], p["build_id"]) for p in building["items"]] == [(ID, "b1")]
    await world.append(
        DeploymentHealthy(
            service_name="revenue-analytics", version="1.0.0", intent_id=ID, build_id="b1", at=T0,
            url="http://127.0.0.1:8300", checks=("GET /health",), duration_s=1.0,
        ),
        IntentCompleted(intent_id=ID, at=T0, outcome="runs", version="1.0.0"),
    )  # fmt: skip
    listed = await world.call("GET", "/pipelines")
    row = next(p for p in listed["items"] if p["intent_id"] == ID)
    assert (row["stage"], row["ended"], row["url"]) == ("done", True, "http://127.0.0.1:8300")
    board = await world.call("GET", "/dashboard")
    assert {stage: n for stage, n in board["pipelines"].items() if n} == {
        "needs_detail": 1,
        "done": 1,
    }
    assert board["specs"]["accepted"] == 1
    assert [item["id"] for item in board["needs_detail"]] == ["v" * 8]


async def test_an_intent_opened_again_by_an_override_gets_its_spec(world: World) -> None:
    """The policies still say no in the second attempt: the override stands above them."""
    blocked = IntentFailed(
        intent_id=ID, at=T0, status="blocked", phase="governance_check", reason="low"
    )
    override = DecisionOverridden(
        intent_id=ID,
        at=T0,
        decision_id=f"d-{ID}-1",
        decision="auto_approve",
        by="bob",
        reason="looked at in person",
    )
    await world.append(queued(intent()), decided(intent(), "blocked"), blocked, override)
    await world.seen()
    assert world.ctx.views.count(PIPELINES, open=True) == 0
    await world.append(queued(intent(), 2), decided(intent(), "blocked", 2))
    row = await settled(world, attempt=2)
    assert row.status == "accepted"


async def test_figures_and_udc_tell_the_state(world: World) -> None:
    await clear(world, intent())
    await settled(world)
    health = await world.call("GET", "/health")
    assert (health["specs_accepted"], health["open_work"], health["gate"]) == (1, 0, 90.0)


def test_needs_detail_carries_the_service_name() -> None:
    assert "service_name" in SpecNeedsDetail.model_fields
