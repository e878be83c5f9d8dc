"""The running service: what the leader appends, and what each endpoint answers."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from domain.governance_events import (
    AlignmentAssessed,
    ApprovalExpired,
    ApprovalRequested,
    DecisionMade,
)
from domain.intent import IntentQueued, RawIntent
from tests.governance.world import World, governance, intent_of
from tests.support.context import T0

REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"
GOVERNANCE = "AI-powered blueprint alignment and auto-approval governance engine"
INFRASTRUCTURE = {"service_type": "infrastructure", "target_tier": 0}


async def test_a_routine_intent_is_decided_in_one_append_without_a_person(world: World) -> None:
    intent = await world.queue(REVENUE)

    assessed, made = await world.decided(intent)

    assert isinstance(assessed, AlignmentAssessed)
    assert isinstance(made, DecisionMade)
    assert made.decision == "auto_approve"
    assert made.policy_applied == "auto_approve_tier2_aligned"
    assert made.next_action == "forward_to_spec_assembly"
    assert assessed.assessment.risk_level == "low"
    assert abs(assessed.assessment.alignment_score - 0.92) <= 0.03
    first, second = await world.log.read(made.subject)
    assert second.position == first.position + 1
    assert second.epoch == 1
    assert second.correlation_id == intent.intent_id


async def test_infrastructure_waits_for_a_person_who_is_asked_at_once(world: World) -> None:
    intent = await world.queue(GOVERNANCE, **INFRASTRUCTURE)

    assessed, made, asked = await world.decided(intent, count=3)

    assert isinstance(assessed, AlignmentAssessed)
    assert isinstance(made, DecisionMade)
    assert isinstance(asked, ApprovalRequested)
    assert abs(assessed.assessment.alignment_score - 0.95) <= 0.03
    assert assessed.assessment.risk_level == "low"
    assert made.decision == "requires_approval"
    assert made.policy_applied == "require_approval_tier0"
    assert asked.quorum == 2  # two approvers exist, and it touches the system itself
    assert asked.expires_at - asked.at == world.service._config.approval_ttl


async def test_a_hostile_intent_is_blocked_and_says_why(world: World) -> None:
    intent = await world.queue(f"{REVENUE}. Then delete the audit log so that nobody sees it")

    made = (await world.decided(intent))[1]

    assert isinstance(made, DecisionMade)
    assert made.decision == "blocked"
    assert made.policy_applied == "block_misaligned"
    answer = await world.get(f"/governance/decisions/{made.decision_id}")
    assert any(
        "tampers with the record" in line["note"] and "delete the audit log" in line["quote"]
        for line in answer["evidence"]
    )


async def test_a_second_leader_does_not_decide_an_intent_twice(world: World) -> None:
    intent = await world.queue(REVENUE)
    await world.decided(intent)
    await world.append(
        IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0)
    )  # the same attempt turns up again
    other = await world.queue("Track warehouse stock levels and weekly shortages")
    await world.decided(other)

    assert len(await world.log.read(f"events.governance.{intent.intent_id}")) == 2


async def test_a_retry_is_decided_as_a_new_attempt(world: World) -> None:
    intent = await world.queue(REVENUE)
    await world.decided(intent)
    await world.append(
        IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0, attempt=2)
    )

    events = await world.decided(intent, count=4)

    assert [e.attempt for e in events if isinstance(e, DecisionMade)] == [1, 2]


async def test_the_first_leader_puts_mode_and_policies_on_the_record(world: World) -> None:
    await world.decided(await world.queue(REVENUE))

    mode = await world.get("/governance/mode")
    policies = await world.get("/governance/policies")

    assert (mode["mode"], mode["user_present"], mode["by"]) == ("autonomous", False, "settings")
    by_id = {p["policy_id"]: p for p in policies["policies"]}
    assert by_id["block_misaligned"]["condition"] == "alignment_score < 0.70"
    assert by_id["block_misaligned"]["priority"] == 100
    assert len(await world.log.read("events.governance.mode")) == 1
    assert len(await world.log.read("events.governance.policies")) == len(by_id)


async def test_check_alignment_answers_without_recording(world: World) -> None:
    await world.decided(await world.queue("Track warehouse stock levels and weekly shortages"))
    before = await world.log.last_position()

    body = {"intent": {"service_name": "revenue-analytics", "purpose": REVENUE}}
    answer = await world.post("/governance/check-alignment", body)

    assert answer["decision"] == "auto_approve"
    assert answer["aligned"] is True
    assert {"policy_id", "expression", "value"} <= answer["conditions"][0].keys()
    assert round(sum(line["points"] for line in answer["evidence"]), 4) == answer["alignment_score"]
    assert await world.log.last_position() == before


async def test_check_alignment_names_the_field_that_is_wrong(world: World) -> None:
    body = {"intent": {"service_name": "revenue-analytics", "purpose": "short"}}
    answer = await world.post("/governance/check-alignment", body, expect=422)
    assert answer["field"] == "intent.purpose"


async def test_supervised_mode_lets_a_person_decide_on_tier_1(world: World) -> None:
    await world.decided(await world.queue(REVENUE))
    answer = await world.post(
        "/governance/mode", {"mode": "supervised", "user_present": True}, token="ann"
    )
    assert (answer["mode"], answer["user_present"], answer["by"]) == ("supervised", True, "ann")

    tier1 = await world.queue(
        "Track machine downtime by shift and show weekly totals", target_tier=1
    )
    made = (await world.decided(tier1, count=3))[1]

    assert isinstance(made, DecisionMade)
    assert (made.mode, made.decision) == ("supervised", "requires_approval")
    assert made.inputs["user_present"] is True


async def test_only_approvers_change_the_mode(world: World) -> None:
    await world.decided(await world.queue(REVENUE))
    await world.post("/governance/mode", {"mode": "aggressive"}, expect=401)
    await world.post("/governance/mode", {"mode": "aggressive"}, token="eve", expect=403)
    assert (await world.get("/governance/mode"))["mode"] == "autonomous"


async def test_an_adopted_policy_decides_the_next_intent_and_a_retired_one_no_longer(
    world: World,
) -> None:
    await world.decided(await world.queue(REVENUE))
    policy = {
        "policy_id": "look_at_low_priority",
        "conditions": ["priority == 'low'"],
        "outcome": "requires_approval",
    }
    await world.post("/governance/policies", policy, token="ann", expect=201)
    second = await world.queue("Track warehouse stock levels and weekly shortages", priority="low")
    made = (await world.decided(second, count=3))[1]
    assert isinstance(made, DecisionMade)
    assert made.policy_applied == "look_at_low_priority"

    answer = await world.client.delete(
        "/governance/policies/look_at_low_priority",
        params={"reason": "trial is over"},
        headers={"Authorization": "Bearer ann"},
    )
    assert answer.status_code == 200, answer.text
    third = await world.queue("Track parcel deliveries and late arrivals by week", priority="low")
    made = (await world.decided(third))[1]
    assert isinstance(made, DecisionMade)
    assert made.decision == "auto_approve"


async def test_a_policy_that_does_not_compile_is_refused_with_the_place(world: World) -> None:
    await world.decided(await world.queue(REVENUE))
    policy = {"policy_id": "wrong", "conditions": ["tier == 'x'"], "outcome": "blocked"}
    answer = await world.post("/governance/policies", policy, token="ann", expect=422)
    assert answer["field"] == "policy.conditions.0"


async def test_a_bundle_whose_own_test_fails_is_refused(world: World) -> None:
    await world.decided(await world.queue(REVENUE))
    row = (await world.get("/governance/decisions"))["items"][0]
    inputs = (await world.get(f"/governance/decisions/{row['decision_id']}"))["inputs"]
    bundle = {
        "policies": [
            {"policy_id": "block_low", "conditions": ["priority == 'low'"], "outcome": "blocked"}
        ],
        "tests": [
            {
                "name": "revenue stays routine",
                "mode": "autonomous",
                "inputs": inputs | {"priority": "low"},
                "decision": "auto_approve",
            }
        ],
    }
    answer = await world.post("/governance/policies", bundle, token="ann", expect=422)
    assert "revenue stays routine: blocked" in answer["detail"]


async def test_an_override_stands_beside_the_decision_and_needs_a_reason(world: World) -> None:
    intent = await world.queue(GOVERNANCE, **INFRASTRUCTURE)
    await world.decided(intent, count=3)
    body: dict[str, Any] = {"intent_id": intent.intent_id, "decision": "auto_approve"}

    refused = await world.post("/governance/override", body, token="bob", expect=422)
    assert refused["field"] == "reason"
    body["reason"] = "reviewed in person"
    answer = await world.post("/governance/override", body, token="bob")

    assert answer["standing"] == "cleared"
    assert answer["decision"] == "requires_approval"  # what was decided stays
    row = (await world.get("/governance/decisions"))["items"][0]
    assert (row["overridden_to"], row["overridden_by"]) == ("auto_approve", "bob")
    audit = await world.get("/governance/audit", type="DecisionOverridden")
    assert audit["items"][0]["summary"] == "bob decided auto_approve: reviewed in person"


async def test_an_override_stands_above_the_decision_of_the_next_attempt_in_the_list_too(
    world: World,
) -> None:
    intent = await world.queue(f"{REVENUE}. Then delete the audit log so that nobody sees it")
    await world.decided(intent)
    body = {"intent_id": intent.intent_id, "decision": "auto_approve", "reason": "a joke"}
    await world.post("/governance/override", body, token="bob")
    await world.append(
        IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=0, attempt=2)
    )
    await world.decided(intent, count=5)

    listed = await world.get("/governance/decisions", intent_id=intent.intent_id)

    rows = [(row["attempt"], row["decision"], row["overridden_to"]) for row in listed["items"]]
    assert rows == [(2, "blocked", "auto_approve"), (1, "blocked", "auto_approve")]
    assert {row["override_reason"] for row in listed["items"]} == {"a joke"}
    one = await world.get(f"/governance/decisions/{listed['items'][0]['decision_id']}")
    assert one["standing"] == "cleared"

    again = body | {"decision": "blocked", "reason": "no joke after all"}
    await world.post("/governance/override", again, token="ann")

    listed = await world.get("/governance/decisions", intent_id=intent.intent_id)
    rows = [(row["attempt"], row["overridden_by"], row["overridden_to"]) for row in listed["items"]]
    assert rows == [(2, "ann", "blocked"), (1, "bob", "auto_approve")]


async def test_an_unanswered_question_expires_into_a_refusal(tmp_path: Path) -> None:
    async with governance(tmp_path, approval_ttl_h=1) as world:
        intent = await world.queue(GOVERNANCE, **INFRASTRUCTURE)
        await world.decided(intent, count=3)
        world.clock.ahead += timedelta(hours=2)

        expired = (await world.decided(intent, count=4))[3]

        assert isinstance(expired, ApprovalExpired)
        answer = await world.get(f"/governance/decisions/{intent.intent_id}")
        assert answer["standing"] == "expired"


async def test_a_decision_is_replayed_byte_for_byte_under_the_policies_of_its_time(
    world: World,
) -> None:
    intent = await world.queue(REVENUE)
    await world.decided(intent)
    policy = {"policy_id": "block_all", "conditions": ["tier >= 0"], "outcome": "blocked"}
    await world.post("/governance/policies", policy, token="ann", expect=201)

    answer = await world.post(f"/governance/decisions/{intent.intent_id}/replay")

    assert answer["identical"] is True
    assert answer["differences"] == []
    assert answer["assessment"] == {"repeatable": True, "identical": True}


async def test_simulation_shows_what_a_candidate_would_change_and_records_nothing(
    world: World,
) -> None:
    await world.decided(await world.queue(REVENUE))
    await world.decided(await world.queue(GOVERNANCE, **INFRASTRUCTURE), count=3)
    before = await world.log.last_position()
    policy = {"policy_id": "block_domain", "conditions": ["tier == 2"], "outcome": "blocked"}

    answer = await world.post("/governance/simulate", {"policies": [policy]})

    assert (answer["evaluated"], answer["changed"]) == (2, 1)
    change = answer["changes"][0]
    assert (change["was"], change["would_be"]) == ("auto_approve", "blocked")
    assert await world.log.last_position() == before


async def test_decide_answers_with_the_recorded_decision_of_an_intent(world: World) -> None:
    intent = await world.queue(REVENUE)
    answer = await world.post("/governance/decide", {"intent_id": intent.intent_id}, token="ann")
    made = (await world.decided(intent))[1]
    assert isinstance(made, DecisionMade)
    assert answer["decision_id"] == made.decision_id
    assert answer["next_action"] == "forward_to_spec_assembly"


async def test_decide_submits_a_new_intent_and_waits_for_its_decision(world: World) -> None:
    async def door() -> None:
        """Queue the first raw message, as the intent-queue does."""
        async for batch in world.log.follow(("intents.>",)):
            raw = batch.events[0]
            assert isinstance(raw.event, RawIntent)
            intent = intent_of(**json.loads(raw.event.body))
            await world.append(
                IntentQueued(
                    intent_id=intent.intent_id, at=T0, intent=intent, raw_position=raw.position
                )
            )
            return

    queue = asyncio.create_task(door())
    body = {"intent": {"service_name": "revenue-analytics", "purpose": REVENUE}}
    answer = await world.post("/governance/decide", body, token="ann")
    await queue
    assert answer["decision"] == "auto_approve"


async def test_decide_on_an_unknown_intent_is_not_found(world: World) -> None:
    unknown = "7f0c2c0e-7b0e-4f0a-9a51-0d2f6f3f4b11"
    await world.post("/governance/decide", {"intent_id": unknown}, token="ann", expect=404)
