"""The deciders of governance: decision, approval, override, and what clears an intent."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from domain.canonical import digest
from domain.errors import IllegalTransition, Invalid, NotAllowed, NotFound
from domain.governance import (
    INITIAL,
    ApprovalCommand,
    ApprovalEvent,
    Decide,
    Expire,
    Grant,
    Override,
    Reject,
    State,
    approval_id,
    cleared,
    decide,
    decide_anew,
    decide_approval,
    decide_override,
    evolve,
    fold,
    quorum_for,
    shown_digest,
    standing,
)
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    Assessment,
    Decision,
    DecisionMade,
    DecisionOverridden,
    GovernanceEvent,
)
from domain.policy import NEXT_ACTION, Outcome
from tests.governance.test_mode_table import inputs
from tests.governance.world import intent_of
from tests.support.context import T0
from tests.support.spec import Decider

INTENT = intent_of("Track machine downtime by shift", submitted_by="ann")
DAY = timedelta(days=1)
ADMIN = frozenset({"admin"})


def assessment(*, own: bool = False) -> Assessment:
    return Assessment(
        alignment_score=0.92,
        aligned=True,
        risk_level="low",
        reasoning="fits",
        tier=0 if own else 2,
        claimed_tier=2,
        self_reference=own,
        evaluator="rubric",
        rubric_version="1",
    )


def command(
    decision: Decision,
    *,
    attempt: int = 1,
    approvers: tuple[str, ...] = ("ann", "bob"),
    own: bool = False,
) -> Decide:
    return Decide(
        intent=INTENT,
        attempt=attempt,
        assessment=assessment(own=own),
        outcome=Outcome(decision, "some_policy", (), "because"),
        inputs=inputs(),
        mode="autonomous",
        bundle_digest="b1",
        blueprint_digest="p1",
        intent_digest="i1",
        approvers=approvers,
        approval_ttl=DAY,
        at=T0,
    )


def events_of(decision: Decision, **given: Any) -> tuple[GovernanceEvent, ...]:
    return decide(command(decision, **given), INITIAL)


ASKED = events_of("requires_approval")
QUESTION = next(event for event in ASKED if isinstance(event, ApprovalRequested))
TWO = events_of("requires_approval", own=True)
TWO_QUESTION = next(event for event in TWO if isinstance(event, ApprovalRequested))

people: Decider[ApprovalCommand, State, GovernanceEvent] = Decider(INITIAL, evolve, decide_approval)
deciding: Decider[Decide, State, GovernanceEvent] = Decider(INITIAL, evolve, decide)
overriding: Decider[Override, State, GovernanceEvent] = Decider(INITIAL, evolve, decide_override)


def grant(approver: str = "bob", question: ApprovalRequested = QUESTION, **given: Any) -> Grant:
    values: dict[str, Any] = {
        "intent_id": INTENT.intent_id,
        "approval_id": question.approval_id,
        "digest": question.digest,
        "approver": approver,
        "roles": frozenset({"approver"}),
        "approvers": ("ann", "bob"),
        "submitted_by": "ann",
        "at": T0 + DAY / 2,
    }
    return Grant(**{**values, **given})


def granted(by: str = "bob", question: ApprovalRequested = QUESTION, warning: str = "") -> Any:
    return ApprovalGranted(
        intent_id=INTENT.intent_id,
        at=T0 + DAY / 2,
        approval_id=question.approval_id,
        digest=question.digest,
        approver=by,
        warning=warning,
    )


def reject(reason: str, **given: Any) -> Reject:
    values: dict[str, Any] = {
        "intent_id": INTENT.intent_id,
        "approval_id": QUESTION.approval_id,
        "digest": QUESTION.digest,
        "approver": "bob",
        "roles": frozenset({"approver"}),
        "reason": reason,
        "at": T0 + DAY / 2,
    }
    return Reject(**{**values, **given})


def rejected(reason: str) -> ApprovalRejected:
    return ApprovalRejected(
        intent_id=INTENT.intent_id,
        at=T0 + DAY / 2,
        approval_id=QUESTION.approval_id,
        digest=QUESTION.digest,
        approver="bob",
        reason=reason,
    )


EXPIRED = ApprovalExpired(intent_id=INTENT.intent_id, at=T0 + DAY, approval_id=QUESTION.approval_id)


def override(decision: Literal["auto_approve", "blocked"], **given: Any) -> Override:
    values: dict[str, Any] = {
        "intent_id": INTENT.intent_id,
        "decision_id": "",
        "decision": decision,
        "by": "bob",
        "roles": ADMIN,
        "reason": "I looked",
        "at": T0,
    }
    return Override(**{**values, **given})


def overridden(decision: Literal["auto_approve", "blocked"], decision_id: str) -> Any:
    return DecisionOverridden(
        intent_id=INTENT.intent_id,
        at=T0,
        decision_id=decision_id,
        decision=decision,
        by="bob",
        reason="I looked",
    )


# --- the leader's decision


@pytest.mark.parametrize(
    ("decision", "count"), [("auto_approve", 2), ("blocked", 2), ("requires_approval", 3)]
)
def test_a_decision_is_recorded_once_with_what_follows(decision: Decision, count: int) -> None:
    events = events_of(decision)
    deciding.given().when(command(decision)).then(*events)
    assert len(events) == count
    made = events[1]
    assert isinstance(made, DecisionMade)
    assert made.next_action == NEXT_ACTION[decision]


def test_a_decision_made_again_by_the_next_leader_has_the_same_ids() -> None:
    first, again = events_of("requires_approval"), events_of("requires_approval")
    assert first == again


def test_an_earlier_attempt_is_not_decided_after_a_later_one() -> None:
    deciding.given(*events_of("auto_approve", attempt=2)).when(
        command("auto_approve", attempt=1)
    ).then_raises(IllegalTransition)


def test_the_question_is_bound_to_exactly_what_is_shown() -> None:
    made = ASKED[1]
    assert isinstance(made, DecisionMade)
    assert shown_digest(INTENT, made) == QUESTION.digest
    other = INTENT.model_copy(update={"purpose": "Track machine downtime by shift!"})
    assert shown_digest(other, made) != QUESTION.digest
    assert shown_digest(INTENT, made, bundle_digest="b2") != QUESTION.digest
    assert shown_digest(INTENT, made, spec_digest="s1") != QUESTION.digest
    assert shown_digest(INTENT, made.model_copy(update={"reasoning": "x"})) != QUESTION.digest


@pytest.mark.parametrize(
    ("used", "unused"),
    [
        ({}, {"shadow_decision", "sandbox"}),
        ({"shadow_decision": "blocked"}, {"sandbox"}),
        ({"shadow_decision": "blocked", "sandbox": "process"}, set()),
    ],
)
def test_what_is_shown_is_the_json_of_both_but_for_what_a_decision_does_not_use(
    used: dict[str, Any], unused: set[str]
) -> None:
    made = ASKED[1].model_copy(update=used)
    assert isinstance(made, DecisionMade)
    assert shown_digest(INTENT, made, spec_digest="s1") == digest(
        {
            "intent": INTENT.model_dump(mode="json"),
            "decision": made.model_dump(mode="json", exclude=unused),
            "bundle_digest": "b1",
            "spec_digest": "s1",
        }
    )


@pytest.mark.parametrize(
    ("own", "approvers", "submitter", "quorum", "warned"),
    [
        (False, ("ann", "bob"), "", 1, ""),
        (True, ("ann", "bob"), "", 2, ""),
        (True, ("ann", "bob"), "dev", 2, ""),
        (True, ("ann", "bob"), "ann", 1, "beside ann, who submits it, there is only one"),
        (True, ("ann", "bob", "cid"), "ann", 2, ""),
        (True, ("ann",), "", 1, "there is only one"),
        (True, ("ann",), "ann", 1, "; there is only one"),
        (True, ("ann", "ann"), "", 1, "there is only one"),
        (True, (), "", 1, "there is only one"),
    ],
)
def test_a_change_to_the_system_itself_wants_two_approvers(
    own: bool, approvers: tuple[str, ...], submitter: str, quorum: int, warned: str
) -> None:
    found, warning = quorum_for(own, approvers, submitter)
    assert (found, bool(warning)) == (quorum, bool(warned))
    assert warned in warning


# --- asking again under changed policies

anew: Decider[Decide, State, GovernanceEvent] = Decider(INITIAL, evolve, decide_anew)


def under(bundle: str, decision: Decision = "requires_approval") -> Decide:
    return replace(command(decision), bundle_digest=bundle)


def test_changed_policies_decide_a_waiting_attempt_again_and_ask_a_new_question() -> None:
    again = decide_anew(under("b2"), fold(ASKED))
    made, question = again
    assert isinstance(made, DecisionMade)
    assert isinstance(question, ApprovalRequested)
    before = ASKED[1]
    assert isinstance(before, DecisionMade)
    assert (made.attempt, made.bundle_digest) == (before.attempt, "b2")
    assert made.decision_id != before.decision_id
    assert question.approval_id != QUESTION.approval_id
    state = fold((*ASKED, *again))
    people.given(*ASKED, *again).when(grant()).then_raises(IllegalTransition, match="newer")
    assert not cleared(state)
    assert cleared(fold((*ASKED, *again, granted(question=question))))
    back = decide_anew(under("b1"), state)  # the policies of before once more: a third question
    assert isinstance(back[1], ApprovalRequested)
    assert back[1].approval_id not in (QUESTION.approval_id, question.approval_id)


def test_changed_policies_may_need_nobody_any_more_or_allow_it_no_more() -> None:
    for decision in ("auto_approve", "blocked"):
        (made,) = decide_anew(under("b2", decision), fold(ASKED))
        assert isinstance(made, DecisionMade)
        assert made.decision == decision


def test_a_no_to_a_question_that_was_asked_again_ends_the_newest_one() -> None:
    again = decide_anew(under("b2"), fold(ASKED))
    thrice = (*again, *decide_anew(under("b3"), fold((*ASKED, *again))))
    newest = thrice[-1]
    assert isinstance(newest, ApprovalRequested)
    no = rejected("no").model_copy(update={"approval_id": newest.approval_id})
    people.given(*ASKED, *thrice).when(reject("no")).then(no)
    assert standing(fold((*ASKED, *thrice, no))) == "rejected"
    people.given(*ASKED, *thrice, no).when(reject("no")).then()  # the same once more
    people.given(*ASKED, *thrice, no).when(grant(question=newest)).then_raises(
        IllegalTransition, match="ended"
    )


def test_a_no_to_a_question_that_was_asked_again_needs_all_that_any_other_needs() -> None:
    asked = people.given(*ASKED, *decide_anew(under("b2"), fold(ASKED)))
    asked.when(reject("no", roles=frozenset())).then_raises(NotAllowed)
    asked.when(reject("")).then_raises(Invalid, field="reason")
    asked.when(reject("no", digest="")).then_raises(Invalid, field="digest")
    asked.when(reject("no", digest="0" * 64)).then_raises(IllegalTransition, match="shown")
    asked.when(reject("no", at=T0 + DAY)).then_raises(IllegalTransition, match="expired")


def test_a_no_is_about_its_attempt_and_to_what_people_still_decide() -> None:
    later = decide(command("requires_approval", attempt=2), fold(ASKED))
    people.given(*ASKED, *later).when(reject("no")).then_raises(IllegalTransition, match="newer")
    for decision in ("auto_approve", "blocked"):
        made = decide_anew(under("b2", decision), fold(ASKED))
        people.given(*ASKED, *made).when(reject("no")).then_raises(IllegalTransition, match="newer")


def test_a_decision_that_lets_it_go_on_does_not_outweigh_a_no_that_came_just_before() -> None:
    made = decide_anew(under("b2", "auto_approve"), fold(ASKED))
    for end, how in ((rejected("no"), "rejected"), (EXPIRED, "expired")):
        assert standing(fold((*ASKED, end, *made))) == how
        assert not cleared(fold((*ASKED, end, *made)))


def test_the_same_policies_or_a_question_that_is_answered_ask_nothing_again() -> None:
    anew.given(*ASKED).when(under("b1")).then()
    anew.given(*ASKED, granted()).when(under("b2")).then()
    anew.given(*events_of("auto_approve")).when(under("b2")).then()
    anew.given().when(under("b2")).then()
    anew.given(*ASKED).when(replace(under("b2"), attempt=2)).then()


# --- approving


def test_an_approver_who_saw_it_approves_once() -> None:
    people.given(*ASKED).when(grant()).then(granted())
    assert cleared(fold((*ASKED, granted())))


def test_the_submitter_does_not_approve_while_somebody_else_could() -> None:
    people.given(*ASKED).when(grant("ann")).then_raises(NotAllowed, match="submits")


@pytest.mark.parametrize("principal", ["", "carl"])
def test_what_nobody_said_they_submitted_anybody_approves(principal: str) -> None:
    """Nobody is no person: neither the one who approves, nor the one they stand for."""
    command = grant("bob", submitted_by="", on_behalf_of=principal)
    expected = granted("bob").model_copy(update={"on_behalf_of": principal})
    people.given(*ASKED).when(command).then(expected)


def test_the_only_approver_may_be_the_submitter_with_a_warning() -> None:
    people.given(*ASKED).when(grant("ann", approvers=("ann",))).then(
        granted("ann", warning="the only approver is the submitter")
    )


def test_somebody_without_the_role_does_not_answer() -> None:
    nobody = frozenset({"operator"})
    people.given(*ASKED).when(grant(roles=nobody)).then_raises(NotAllowed)
    people.given(*ASKED).when(reject("no", roles=nobody)).then_raises(NotAllowed)


def test_an_answer_to_something_else_than_was_shown_is_refused() -> None:
    people.given(*ASKED).when(grant(digest="0" * 64)).then_raises(IllegalTransition, match="shown")
    people.given(*ASKED).when(grant(digest="")).then_raises(Invalid, field="digest")
    people.given(*ASKED).when(reject("no", digest="0" * 64)).then_raises(IllegalTransition)


def test_an_approval_is_refused_when_the_policies_have_changed_since() -> None:
    made = ASKED[1]
    assert isinstance(made, DecisionMade)
    now = shown_digest(INTENT, made, bundle_digest="b2")
    people.given(*ASKED).when(grant(current=now)).then_raises(IllegalTransition, match="changed")
    same = shown_digest(INTENT, made, bundle_digest="b1")
    people.given(*ASKED).when(grant(current=same)).then(granted())


def test_an_approval_after_its_time_is_refused() -> None:
    people.given(*ASKED).when(grant(at=T0 + DAY)).then_raises(IllegalTransition, match="expired")


def test_an_approval_is_used_once() -> None:
    people.given(*ASKED, granted()).when(grant("cid")).then_raises(
        IllegalTransition, match="granted"
    )


def test_an_unknown_approval_is_not_found() -> None:
    people.given(*ASKED).when(grant(approval_id="nothing")).then_raises(NotFound)


def test_a_quorum_takes_two_different_people() -> None:
    first = granted("bob", TWO_QUESTION)
    people.given(*TWO).when(grant("bob", TWO_QUESTION)).then(first)
    assert not cleared(fold((*TWO, first)))
    assert not cleared(fold((*TWO, first, first)))
    people.given(*TWO, first).when(grant("cid", TWO_QUESTION)).then(granted("cid", TWO_QUESTION))
    assert cleared(fold((*TWO, first, granted("cid", TWO_QUESTION))))


# --- rejecting and expiring


def test_a_rejection_says_why_and_ends_the_question() -> None:
    people.given(*ASKED).when(reject(" too costly ")).then(rejected("too costly"))
    assert standing(fold((*ASKED, rejected("no")))) == "rejected"
    people.given(*ASKED, rejected("no")).when(grant("cid")).then_raises(IllegalTransition)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
def test_a_rejection_without_a_reason_is_invalid(reason: str) -> None:
    people.given(*ASKED).when(reject(reason)).then_raises(Invalid, field="reason")


def test_a_question_expires_once_its_time_has_run_out_and_not_before() -> None:
    end = Expire(
        intent_id=INTENT.intent_id, approval_id=QUESTION.approval_id, at=QUESTION.expires_at
    )
    people.given(*ASKED).when(end).then(EXPIRED)
    early = Expire(
        intent_id=INTENT.intent_id,
        approval_id=QUESTION.approval_id,
        at=QUESTION.expires_at - timedelta(microseconds=1),
    )
    people.given(*ASKED).when(early).then()
    people.given(*ASKED, granted()).when(end).then()
    assert standing(fold((*ASKED, EXPIRED))) == "expired"


def test_the_first_end_of_a_question_counts() -> None:
    assert standing(fold((*ASKED, rejected("no"), granted()))) == "rejected"
    assert standing(fold((*ASKED, granted(), rejected("no")))) == "cleared"
    assert standing(fold((*ASKED, EXPIRED, granted()))) == "expired"


# --- overriding


def made_id(events: tuple[GovernanceEvent, ...]) -> str:
    return next(event.decision_id for event in events if isinstance(event, DecisionMade))


@pytest.mark.parametrize("decision", ["blocked", "requires_approval"])
def test_an_override_clears_what_policy_did_not(decision: Decision) -> None:
    events = events_of(decision)
    event = overridden("auto_approve", made_id(events))
    overriding.given(*events).when(override("auto_approve")).then(event)
    assert not cleared(fold(events))
    assert cleared(fold((*events, event)))
    assert fold((*events, event)).decision == fold(events).decision


@pytest.mark.parametrize("decision", ["auto_approve", "blocked"])
def test_after_an_override_nobody_is_asked_again(
    decision: Literal["auto_approve", "blocked"],
) -> None:
    before = fold(ASKED)
    after = fold((*ASKED, *decide_override(override(decision), before)))
    again = decide(command("requires_approval", attempt=2), after)
    assert [type(event) for event in again] == [AlignmentAssessed, DecisionMade]
    assert standing(fold((*ASKED, *decide_override(override(decision), before), *again))) == (
        "cleared" if decision == "auto_approve" else "blocked"
    )


def test_an_override_stops_what_was_approved_automatically() -> None:
    events = events_of("auto_approve")
    event = overridden("blocked", made_id(events))
    overriding.given(*events).when(override("blocked")).then(event)
    assert standing(fold((*events, event))) == "blocked"


def test_an_override_outlives_the_attempt_and_an_approval_does_not() -> None:
    again = tuple(decide(command("requires_approval", attempt=2), fold((*ASKED, granted()))))
    assert not cleared(fold((*ASKED, granted(), *again)))
    event = overridden("auto_approve", made_id(ASKED))
    assert cleared(fold((*ASKED, event, *again)))


def test_nobody_approves_a_question_that_a_newer_decision_replaced() -> None:
    again = tuple(decide(command("requires_approval", attempt=2), fold(ASKED)))
    people.given(*ASKED, *again).when(grant()).then_raises(IllegalTransition, match="newer")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"reason": " "}, Invalid),
        ({"roles": frozenset({"operator"})}, NotAllowed),
        ({"decision_id": "another"}, IllegalTransition),
    ],
)
def test_an_override_needs_a_reason_a_role_and_the_decision_in_force(
    given: dict[str, Any], error: type[Exception]
) -> None:
    overriding.given(*ASKED).when(override("auto_approve", **given)).then_raises(error)


def test_nothing_is_overridden_before_it_is_decided() -> None:
    overriding.given().when(override("blocked")).then_raises(NotFound)


# --- standing


def test_an_attempt_that_is_not_the_one_decided_is_undecided() -> None:
    state = fold(events_of("auto_approve"))
    assert cleared(state, attempt=1)
    assert standing(state, attempt=2) == "undecided"
    assert standing(INITIAL) == "undecided"


def test_a_question_without_an_answer_waits() -> None:
    assert standing(fold(ASKED)) == "waiting"
    assert standing(fold(ASKED[:2])) == "waiting"


def test_ids_do_not_collide_between_subjects() -> None:
    assert len({approval_id("d", subject) for subject in ("intent", "build", "deploy")}) == 3


def test_every_answer_is_an_approval_event() -> None:
    answers: tuple[ApprovalEvent, ...] = (granted(), rejected("no"), EXPIRED)
    for answer in answers:
        assert answer.approval_id == QUESTION.approval_id
