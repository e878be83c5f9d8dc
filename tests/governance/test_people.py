"""What people may do beside approving: stand in, be told again, break the glass, and tire."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain import delegation
from domain.delegation import Delegate, EndDelegation
from domain.emergency import (
    BreakGlass,
    Escalate,
    Review,
    break_glass,
    escalate,
    review,
)
from domain.errors import DomainError, IllegalTransition, Invalid, NotAllowed, NotFound
from domain.governance import (
    FATIGUE_FROM,
    INITIAL,
    REVIEW_WITHIN,
    Override,
    State,
    cleared,
    decide,
    decide_approval,
    decide_override,
    evolve,
    fold,
    standing,
)
from domain.governance_events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalGranted,
    ApprovalRequested,
    BreakGlassReviewed,
    BreakGlassUsed,
    DecisionOverridden,
)
from tests.governance.test_governance_spec import (
    ASKED,
    DAY,
    INTENT,
    QUESTION,
    TWO,
    TWO_QUESTION,
    events_of,
    grant,
    granted,
)
from tests.governance.test_governance_spec import command as deciding
from tests.governance.world import World, governance
from tests.support.context import T0
from tests.support.memory import MemoryLog
from tests.support.spec import Decider

WHY = "payments are down and nobody else can be reached"
QUESTION_OF = "events.governance."
ROLE = frozenset({"approver"})
breaking: Decider[BreakGlass, State, Any] = Decider(INITIAL, evolve, break_glass)
reviewing: Decider[Review, State, Any] = Decider(INITIAL, evolve, review)
escalating: Decider[Escalate, State, Any] = Decider(INITIAL, evolve, escalate)


def broken(**given: Any) -> BreakGlass:
    values: dict[str, Any] = {
        "intent_id": INTENT.intent_id,
        "by": "bob",
        "roles": ROLE,
        "reason": WHY,
        "at": T0,
    }
    return BreakGlass(**{**values, **given})


def looked(**given: Any) -> Review:
    values: dict[str, Any] = {
        "intent_id": INTENT.intent_id,
        "by": "ann",
        "roles": ROLE,
        "approvers": ("ann", "bob"),
        "justified": True,
        "comment": "it was right",
        "at": T0,
    }
    return Review(**{**values, **given})


USED = break_glass(broken(), fold(TWO))


# --- break-glass --------------------------------------------------------------------------------


def test_break_glass_clears_what_waits_for_two_and_owes_a_review() -> None:
    (used, overridden) = USED or (None, None)
    assert isinstance(used, BreakGlassUsed)
    assert isinstance(overridden, DecisionOverridden)
    assert used.review_by == T0 + REVIEW_WITHIN
    assert overridden.reason == f"break-glass: {WHY}"
    breaking.given(*TWO).when(broken()).then(*USED)
    assert not cleared(fold(TWO))
    assert cleared(fold((*TWO, *USED)))


def test_the_same_person_breaking_it_again_adds_nothing_and_another_must_wait_for_the_review() -> (
    None
):
    breaking.given(*TWO, *USED).when(broken()).then()
    breaking.given(*TWO, *USED).when(broken(by="ann")).then_raises(IllegalTransition)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"reason": "urgent"}, Invalid),
        ({"reason": " " * 40}, Invalid),
        ({"roles": frozenset({"reader"})}, NotAllowed),
    ],
)
def test_an_emergency_is_explained_by_somebody_who_may_approve(
    given: dict[str, Any], error: type[DomainError]
) -> None:
    breaking.given(*TWO).when(broken(**given)).then_raises(error)


def test_what_may_go_on_anyway_is_no_emergency() -> None:
    breaking.given(*events_of("auto_approve")).when(broken()).then_raises(IllegalTransition)
    breaking.given().when(broken()).then_raises(NotFound)


def test_break_glass_opens_what_policy_blocked() -> None:
    blocked = events_of("blocked")
    events = break_glass(broken(), fold(blocked))
    assert standing(fold((*blocked, *events))) == "cleared"


def test_the_review_is_by_somebody_else_and_closes_the_case() -> None:
    verdict = BreakGlassReviewed(
        intent_id=INTENT.intent_id,
        at=T0,
        decision_id=TWO_QUESTION.decision_id,
        by="ann",
        justified=True,
        comment="it was right",
    )
    reviewing.given(*TWO, *USED).when(looked()).then(verdict)
    reviewing.given(*TWO, *USED).when(looked(by="bob")).then_raises(NotAllowed)
    reviewing.given(*TWO, *USED, verdict).when(looked(by="eve")).then_raises(IllegalTransition)
    reviewing.given(*TWO).when(looked()).then_raises(NotFound)
    reviewing.given(*TWO, *USED).when(looked(comment=" ")).then_raises(Invalid)


def test_alone_one_reviews_oneself_with_a_warning() -> None:
    (verdict,) = review(looked(by="bob", approvers=("bob",)), fold((*TWO, *USED)))
    assert verdict.warning == "nobody else could review it"


def test_overriding_alone_what_takes_two_owes_a_review() -> None:
    command = Override(
        intent_id=INTENT.intent_id,
        decision_id="",
        decision="auto_approve",
        by="bob",
        roles=ROLE,
        reason="quicker",
        at=T0,
    )
    glass, overridden = decide_override(command, fold(TWO))
    assert isinstance(glass, BreakGlassUsed)
    assert glass.reason == "quicker"
    assert fold((*TWO, glass, overridden)).review is None
    assert len(decide_override(replace(command, decision="blocked"), fold(TWO))) == 1
    assert len(decide_override(command, fold(ASKED))) == 1


def test_who_submits_a_change_to_the_system_and_one_other_are_the_two_people() -> None:
    asking = deciding("requires_approval", own=True)  # by ann, of ann and bob
    proven = asking.intent.model_copy(update={"authenticated": True})
    events = decide(replace(asking, intent=proven), INITIAL)
    question = events[-1]
    assert isinstance(question, ApprovalRequested)
    assert (question.quorum, question.submitted_by) == (1, "ann")
    assert "beside ann, who submits it" in question.warning
    both = ("ann", "bob")
    with pytest.raises(NotAllowed):
        decide_approval(grant("ann", question, approvers=both), fold(events))
    (granted,) = decide_approval(grant("bob", question, approvers=both), fold(events))
    assert cleared(fold((*events, granted)))

    letting_go_on = Override(
        intent_id=INTENT.intent_id,
        decision_id="",
        decision="auto_approve",
        by="ann",
        roles=ROLE,
        reason="quicker",
        at=T0,
    )
    assert len(decide_override(letting_go_on, fold(events))) == 2  # her own: break-glass
    assert len(decide_override(replace(letting_go_on, by="bob"), fold(events))) == 1


# --- escalation ---------------------------------------------------------------------------------


def told(at: Any) -> Escalate:
    return Escalate(
        intent_id=INTENT.intent_id,
        approval_id=QUESTION.approval_id,
        approvers=("bob", "ann", "ann"),
        at=at,
    )


def test_a_question_is_escalated_once_at_half_of_its_time_to_everybody_who_may_answer() -> None:
    half = T0 + DAY / 2
    escalating.given(*ASKED).when(told(half - timedelta(seconds=1))).then()
    expected = ApprovalEscalated(
        intent_id=INTENT.intent_id,
        at=half,
        approval_id=QUESTION.approval_id,
        to=("ann", "bob"),
        expires_at=QUESTION.expires_at,
    )
    escalating.given(*ASKED).when(told(half)).then(expected)


def test_an_answered_question_is_not_escalated() -> None:
    escalating.given(*ASKED, granted()).when(told(T0 + DAY * 3 / 4)).then()
    escalating.given(*ASKED).when(told(QUESTION.expires_at)).then()


# --- delegation ---------------------------------------------------------------------------------


def lets(**given: Any) -> Delegate:
    values: dict[str, Any] = {
        "approver": "bob",
        "roles": ROLE,
        "delegate": "eve",
        "known": ("ann", "bob", "eve"),
        "until": T0 + DAY,
        "reason": "on holiday",
        "at": T0,
    }
    return Delegate(**{**values, **given})


def state_of(*commands: Delegate) -> delegation.Delegations:
    state: delegation.Delegations = {}
    for command in commands:
        state = delegation.fold((*state.values(), *delegation.delegate(command, state)))
    return state


def test_a_delegate_answers_until_the_end_and_not_a_moment_longer() -> None:
    state = state_of(lets())
    both = ("ann", "bob")
    assert delegation.principal(state, "eve", T0, approvers=both) == "bob"
    assert delegation.principal(state, "eve", T0 + DAY, approvers=both) == ""
    assert delegation.principal(state, "mallory", T0, approvers=both) == ""
    assert delegation.principal(state, "eve", T0, approvers=("ann",)) == ""


def test_the_same_delegation_again_adds_nothing_and_a_longer_one_replaces_it() -> None:
    state = state_of(lets())
    assert delegation.delegate(lets(), state) == ()
    (longer,) = delegation.delegate(lets(until=T0 + 2 * DAY), state)
    assert isinstance(longer, ApprovalDelegated)
    assert len(delegation.fold((*state.values(), longer))) == 1


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"roles": frozenset({"reader"})}, NotAllowed),
        ({"delegate": "bob"}, Invalid),
        ({"delegate": " "}, Invalid),
        ({"delegate": "evee"}, Invalid),
        ({"until": T0}, Invalid),
        ({"until": T0 + timedelta(days=31)}, Invalid),
        ({"reason": " "}, Invalid),
    ],
)
def test_a_delegation_is_by_an_approver_to_another_with_a_reason_and_an_end(
    given: dict[str, Any], error: type[DomainError]
) -> None:
    with pytest.raises(error):
        delegation.delegate(lets(**given), {})


def test_the_two_of_them_or_an_admin_end_a_delegation() -> None:
    state = state_of(lets())

    def ends(by: str, roles: frozenset[str] = frozenset()) -> EndDelegation:
        return EndDelegation(approver="bob", delegate="eve", by=by, roles=roles, at=T0)

    for command in (ends("bob"), ends("eve"), ends("root", frozenset({"admin"}))):
        (event,) = delegation.end(command, state)
        assert delegation.fold((*state.values(), event)) == {}
    with pytest.raises(NotAllowed):
        delegation.end(ends("mallory"), state)
    with pytest.raises(NotFound):
        delegation.end(ends("bob"), {})


def test_a_delegate_without_a_role_may_grant_and_says_for_whom() -> None:
    command = grant("eve", roles=frozenset(), on_behalf_of="bob")
    (event,) = decide_approval(command, fold(ASKED))
    assert isinstance(event, ApprovalGranted)
    assert (event.approver, event.on_behalf_of) == ("eve", "bob")
    assert cleared(fold((*ASKED, event)))
    with pytest.raises(NotAllowed):
        decide_approval(grant("eve", roles=frozenset()), fold(ASKED))


def test_an_approver_and_their_delegate_are_one_voice_of_two() -> None:
    first = grant("bob", TWO_QUESTION, submitted_by="carol")
    events = (*TWO, *decide_approval(first, fold(TWO)))
    second = grant("eve", TWO_QUESTION, roles=frozenset(), on_behalf_of="bob", submitted_by="carol")
    assert decide_approval(second, fold(events)) == ()
    assert not cleared(fold(events))


def test_a_submitter_is_not_approved_by_their_own_delegate() -> None:
    command = grant("eve", roles=frozenset(), on_behalf_of="ann")
    with pytest.raises(NotAllowed, match="submits"):
        decide_approval(command, fold(ASKED))


# --- fatigue ------------------------------------------------------------------------------------


def test_many_approvals_in_a_short_time_carry_a_warning() -> None:
    (calm,) = decide_approval(grant(recent=FATIGUE_FROM - 1), fold(ASKED))
    (tired,) = decide_approval(grant(recent=FATIGUE_FROM), fold(ASKED))
    assert isinstance(calm, ApprovalGranted)
    assert isinstance(tired, ApprovalGranted)
    assert calm.warning == ""
    assert tired.warning == f"{FATIGUE_FROM + 1} approvals by bob in 10 minutes"


# --- the running service ------------------------------------------------------------------------

OWN = "AI-powered blueprint alignment and auto-approval governance engine"


async def test_a_used_break_glass_is_listed_until_somebody_else_has_reviewed_it(
    world: World,
) -> None:
    intent = await world.queue(OWN, service_type="infrastructure", target_tier=0)
    await world.decided(intent, count=3)
    body = {"intent_id": intent.intent_id, "reason": WHY}
    await world.post("/governance/break-glass", body, token="eve", expect=403)
    await world.post("/governance/break-glass", body, token="bob")
    owed = await world.get("/governance/reviews")
    assert [(item["by"], item["overdue"]) for item in owed["items"]] == [("bob", False)]
    assert cleared(fold(r.event for r in await world.log.read(QUESTION_OF + intent.intent_id)))
    path, verdict = f"/governance/reviews/{intent.intent_id}", {"justified": False, "comment": "no"}
    await world.post(path, verdict, token="bob", expect=403)
    answer = await world.post(path, verdict, token="ann")
    assert (answer["open"], answer["justified"]) == (False, False)
    assert (await world.get("/governance/reviews"))["total"] == 0
    lines = [item["type"] for item in (await world.get("/governance/audit"))["items"]]
    assert {"BreakGlassUsed.v1", "BreakGlassReviewed.v1"} <= set(lines)


async def test_an_unanswered_question_is_escalated_by_the_leader(world: World) -> None:
    intent = await world.queue(OWN, service_type="infrastructure", target_tier=0)
    await world.decided(intent, count=3)
    world.clock.ahead = timedelta(hours=37)  # of 72
    *_, told_again = await world.decided(intent, count=4)
    assert isinstance(told_again, ApprovalEscalated)
    assert told_again.to == ("ann", "bob")


async def test_a_question_of_an_earlier_term_is_escalated_by_the_next_leader(
    tmp_path: Path,
) -> None:
    log = MemoryLog()
    async with governance(tmp_path / "first", log=log) as world:
        intent = await world.queue(OWN, service_type="infrastructure", target_tier=0)
        await world.decided(intent, count=3)
    async with governance(tmp_path / "second", log=log) as world:
        await world.seen()
        world.clock.ahead = timedelta(hours=37)  # of 72
        *_, told_again = await world.decided(intent, count=4)
        assert isinstance(told_again, ApprovalEscalated)


async def test_delegations_are_kept_listed_and_ended(world: World) -> None:
    until = (world.clock.now() + DAY).isoformat()
    body = {"delegate": "eve", "until": until, "reason": "on holiday"}
    await world.post("/governance/delegations", body, token="eve", expect=403)
    typo = {**body, "delegate": "evee"}
    refused = await world.post("/governance/delegations", typo, token="bob", expect=422)
    assert refused["field"] == "delegate"
    assert "nobody here is called 'evee'" in refused["detail"]
    answer = await world.post("/governance/delegations", body, token="bob", expect=201)
    assert [(i["approver"], i["delegate"]) for i in answer["items"]] == [("bob", "eve")]
    headers = {"Authorization": "Bearer bob"}
    ended = await world.client.delete("/governance/delegations/bob/eve", headers=headers)
    assert ended.json()["items"] == []
    assert (await world.get("/governance/delegations"))["items"] == []
