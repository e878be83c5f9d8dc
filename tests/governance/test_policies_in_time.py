"""Shadow policies, freezes and schedules, signatures: what a bundle can do besides deciding now."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Invalid
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalRequested,
    Decision,
    DecisionMade,
    Policy,
    PolicyAdopted,
    PolicyRetired,
)
from domain.intent import IntentQueued
from domain.policy import Bundle, inputs_of
from infra.cel import CelConditions, check_expression
from tests.governance.test_policies import policy
from tests.governance.world import World, governance, intent_of
from tests.support.context import T0

REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"
FREEZE = "date >= '2026-12-20' && date <= '2027-01-02'"
NIGHT = "hour >= 22 || hour < 6"


async def assessed(world: World) -> AlignmentAssessed:
    event = (await world.decided(await world.queue(REVENUE)))[0]
    assert isinstance(event, AlignmentAssessed)
    return event


async def decided_at(world: World, at: datetime | None, *policies: Policy) -> Decision:
    assessment = (await assessed(world)).assessment
    intent = intent_of(REVENUE)
    inputs = inputs_of(intent, assessment, mode="autonomous", user_present=False, at=at)
    return CelConditions(Bundle(policies=policies)).outcome("autonomous", inputs).decision


@pytest.mark.parametrize(
    ("at", "decision"),
    [
        (datetime(2026, 12, 19, 23, 59, tzinfo=UTC), "auto_approve"),
        (datetime(2026, 12, 20, 0, 0, tzinfo=UTC), "requires_approval"),
        (datetime(2027, 1, 2, 23, 59, tzinfo=UTC), "requires_approval"),
        (datetime(2027, 1, 3, 0, 0, tzinfo=UTC), "auto_approve"),
        (datetime(2026, 12, 20, 1, 0, tzinfo=timezone(timedelta(hours=5))), "auto_approve"),
    ],
)
async def test_a_freeze_holds_from_its_first_day_to_its_last_in_utc(
    world: World, at: datetime, decision: str
) -> None:
    freeze = policy("freeze", "requires_approval", FREEZE)
    assert await decided_at(world, at, policy("yes", "auto_approve"), freeze) == decision


async def test_a_schedule_makes_a_mode_stricter_at_night(world: World) -> None:
    rules = (
        policy("yes", "auto_approve"),
        policy("night", "requires_approval", "mode == 'autonomous'", NIGHT),
    )
    noon = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    assert await decided_at(world, noon, *rules) == "auto_approve"
    assert await decided_at(world, noon + timedelta(hours=10), *rules) == "requires_approval"
    weekend = policy("weekend", "blocked", "weekday in ['saturday', 'sunday']")
    assert await decided_at(world, noon + timedelta(days=5), *rules, weekend) == "blocked"
    assert await decided_at(world, noon + timedelta(days=4), *rules, weekend) == "auto_approve"


async def test_without_a_time_a_freeze_cannot_be_answered_and_a_person_decides(
    world: World,
) -> None:
    rules = (policy("yes", "auto_approve"), policy("freeze", "blocked", FREEZE))
    assert await decided_at(world, None, *rules) == "requires_approval"


async def test_a_decision_records_the_moment_it_was_made(world: World) -> None:
    made = (await world.decided(await world.queue(REVENUE)))[1]
    assert isinstance(made, DecisionMade)
    assert made.inputs["date"] == made.at.date().isoformat()
    assert made.inputs["hour"] == made.at.hour


def test_hours_are_numbers_and_dates_are_text() -> None:
    check_expression(FREEZE)
    with pytest.raises(Invalid, match="no matching overload"):
        check_expression("hour == '22'")


def strict(*, shadow: bool) -> dict[str, Any]:
    return {
        "policy_id": "everything_asks",
        "conditions": ["tier >= 0"],
        "outcome": "requires_approval",
        "priority": 500,
        "shadow": shadow,
    }


async def test_a_shadow_policy_is_recorded_with_the_decision_and_does_not_act(
    world: World,
) -> None:
    await world.post("/governance/policies", strict(shadow=True), token="bob", expect=201)
    made = (await world.decided(await world.queue(REVENUE)))[1]
    assert isinstance(made, DecisionMade)
    assert (made.decision, made.shadow_decision) == ("auto_approve", "requires_approval")
    assert made.policy_applied == "auto_approve_tier2_aligned"
    assert ("everything_asks", True) in [(c.policy_id, c.value) for c in made.conditions]
    again = await world.post(f"/governance/decisions/{made.decision_id}/replay", token="bob")
    assert again["identical"] is True


async def test_taking_the_shadow_off_makes_the_policy_act(world: World) -> None:
    for shadow in (True, False):
        body = strict(shadow=shadow)
        await world.post("/governance/policies", body, token="bob", expect=201)
    made = (await world.decided(await world.queue(REVENUE)))[1]
    assert isinstance(made, DecisionMade)
    assert (made.decision, made.policy_applied) == ("requires_approval", "everything_asks")
    assert made.shadow_decision is None


def test_an_error_in_a_shadow_policy_keeps_nobody_from_going_on() -> None:
    broken = policy("broken", "blocked", "1 / (tier - 2) == 1").model_copy(update={"shadow": True})
    rules = CelConditions(Bundle(policies=(policy("yes", "auto_approve"), broken)))
    outcome = rules.outcome("autonomous", {"tier": 2})
    assert (outcome.decision, outcome.shadow) == ("auto_approve", "requires_approval")


def test_a_policy_from_before_shadows_has_the_digest_it_had() -> None:
    """The digest of this policy as it was computed before the field existed."""
    old = Policy(policy_id="one", conditions=("tier == 0",), outcome="blocked")
    recorded = "5067b0b388fec875b3d47c41f4f0da8ad0ae26812a95c9d920261765b1f272e3"
    assert Bundle(policies=(old,)).digest == recorded
    assert Bundle(policies=(old.model_copy(update={"shadow": True}),)).digest != recorded


def demanding(name: str, sandbox: str, condition: str, *, shadow: bool = False) -> Policy:
    update = {"sandbox": sandbox, "shadow": shadow}
    return policy(name, "auto_approve", condition).model_copy(update=update)


async def test_what_a_policy_demands_of_the_sandbox_stands_in_the_decision(world: World) -> None:
    body = {
        "policy_id": "auto_approve_tier2_aligned",
        "conditions": ["tier >= 2", "alignment_score >= 0.85", "risk_level == 'low'"],
        "outcome": "auto_approve",
        "priority": 1,
        "modes": ["autonomous"],
        "sandbox": "bubblewrap",
    }
    await world.post("/governance/policies", body, token="bob", expect=201)
    made = (await world.decided(await world.queue(REVENUE)))[1]
    assert isinstance(made, DecisionMade)
    assert (made.decision, made.sandbox) == ("auto_approve", "bubblewrap")
    again = await world.post(f"/governance/decisions/{made.decision_id}/replay", token="bob")
    assert again["identical"] is True
    refused = {**body, "sandbox": "jail"}
    await world.post("/governance/policies", refused, token="bob", expect=422)


@pytest.mark.parametrize(
    ("policies", "demanded"),
    [
        (
            (demanding("one", "landlock", "tier == 2"), demanding("two", "process", "true")),
            "landlock",
        ),
        (
            (demanding("one", "bubblewrap", "tier == 1"), demanding("two", "process", "true")),
            "process",
        ),
        ((demanding("one", "bubblewrap", "1 / (tier - 2) == 1"),), "bubblewrap"),
        ((demanding("one", "bubblewrap", "true", shadow=True),), None),
        ((policy("one", "auto_approve"),), None),
    ],
    ids=["the strictest of those that hold", "none that does not", "an error", "shadow", "nobody"],
)
def test_demands_of_the_sandbox_add_up(policies: tuple[Policy, ...], demanded: str | None) -> None:
    outcome = CelConditions(Bundle(policies=policies)).outcome("autonomous", {"tier": 2})
    assert outcome.sandbox == demanded


def test_a_policy_that_demands_no_sandbox_has_the_digest_it_had() -> None:
    plain = Policy(policy_id="one", conditions=("tier == 0",), outcome="blocked")
    assert "sandbox" not in plain.model_dump(mode="json")
    assert (
        Bundle(policies=(plain,)).digest
        != Bundle(policies=(plain.model_copy(update={"sandbox": "process"}),)).digest
    )


async def test_every_adoption_is_signed_and_a_changed_one_does_not_verify(world: World) -> None:
    await world.post("/governance/policies", strict(shadow=False), token="bob", expect=201)
    signatures = (await world.get("/governance/policies"))["signatures"]
    assert len(signatures) > 10
    assert all(found["verified"] for found in signatures.values())
    (recorded,) = (await world.log.read("events.governance.policies"))[-1:]
    assert isinstance(recorded.event, PolicyAdopted)
    softer = recorded.event.policy.model_copy(update={"outcome": "auto_approve"})
    await world.append(recorded.event.model_copy(update={"policy": softer}))
    found = (await world.get("/governance/policies"))["signatures"]["everything_asks"]
    assert (found["signed"], found["verified"]) == (True, False)


async def test_a_retirement_is_signed_too_and_one_put_into_the_log_is_not(world: World) -> None:
    await world.post("/governance/policies", strict(shadow=False), token="bob", expect=201)
    await world.client.delete(
        "/governance/policies/everything_asks?reason=over", headers={"Authorization": "Bearer bob"}
    )
    signatures = (await world.get("/governance/policies"))["signatures"]
    assert signatures["everything_asks"]["verified"]
    (recorded,) = (await world.log.read("events.governance.policies"))[-1:]
    assert isinstance(recorded.event, PolicyRetired)
    await world.append(recorded.event.model_copy(update={"policy_id": "block_misaligned"}))
    found = (await world.get("/governance/policies"))["signatures"]["block_misaligned"]
    assert (found["verified"], found["why"]) == (False, "it signs another change")


def body(policy_id: str, outcome: Decision, *conditions: str) -> dict[str, Any]:
    return policy(policy_id, outcome, *conditions).model_dump(mode="json")


async def test_open_questions_are_put_again_when_the_policies_change(world: World) -> None:
    waiting = await world.queue(REVENUE, service_type="api_gateway")
    answered = await world.queue("Track machine downtime by shift and hall")
    _assessed, first, asked = await world.decided(waiting, count=3)
    await world.decided(answered)
    assert isinstance(first, DecisionMade)
    assert isinstance(asked, ApprovalRequested)

    await world.post(
        "/governance/policies", body("note", "blocked", "tier > 3"), token="ann", expect=201
    )

    *_, again, question = await world.decided(waiting, count=5)
    assert isinstance(again, DecisionMade)
    assert isinstance(question, ApprovalRequested)
    assert again.bundle_digest != first.bundle_digest
    assert (again.attempt, again.decision) == (first.attempt, "requires_approval")
    assert question.digest != asked.digest
    assert len(await world.log.read(f"events.governance.{answered.intent_id}")) == 2
    for made in (first, again):  # each is still explained and repeated by itself
        told = await world.get(f"/governance/decisions/{made.decision_id}")
        assert (told["decision_id"], told["bundle_digest"]) == (
            made.decision_id,
            made.bundle_digest,
        )
        replayed = await world.post(f"/governance/decisions/{made.decision_id}/replay")
        assert (replayed["identical"], replayed["assessment"]["identical"]) == (True, True)

    no_gateways = body("gateways", "blocked", "service_type == 'api_gateway'")
    await world.post("/governance/policies", no_gateways, token="ann", expect=201)
    blocked = (await world.decided(waiting, count=6))[-1]
    assert isinstance(blocked, DecisionMade)
    assert (blocked.decision, blocked.policy_applied) == ("blocked", "gateways")


async def test_a_new_leader_puts_questions_again_that_no_longer_fit(tmp_path: Path) -> None:
    async with governance(tmp_path) as world:
        waiting = await world.queue(REVENUE, service_type="api_gateway")
        await world.decided(waiting, count=3)
        assert world.leading is not None
        world.leading.cancel()
        await world.post(
            "/governance/policies", body("note", "blocked", "tier > 3"), token="ann", expect=201
        )
        leading = asyncio.create_task(world.service.lead(world.term))
        found = await world.decided(waiting, count=5)
        assert isinstance(found[-1], ApprovalRequested)
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)


async def test_a_question_by_rules_of_before_is_put_again_however_late_it_comes(
    world: World,
) -> None:
    first = await world.queue(REVENUE, service_type="api_gateway")
    assessment, decision, asked = await world.decided(first, count=3)
    assert isinstance(decision, DecisionMade)
    await world.seen()  # no open question is left to look at

    late = intent_of(REVENUE, service_type="api_gateway")
    its = {"intent_id": late.intent_id}
    await world.append(
        IntentQueued(intent_id=late.intent_id, at=T0, intent=late, raw_position=0),
        assessment.model_copy(update=its),
        decision.model_copy(update={**its, "decision_id": "d", "bundle_digest": "older"}),
        asked.model_copy(update={**its, "decision_id": "d", "approval_id": "a"}),
    )

    *_, again, question = await world.decided(late, count=5)
    assert isinstance(again, DecisionMade)
    assert isinstance(question, ApprovalRequested)
    assert again.bundle_digest == decision.bundle_digest
    assert question.decision_id == again.decision_id
    assert len(await world.log.read(f"events.governance.{first.intent_id}")) == 3
