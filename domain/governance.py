"""Governance of one intent: assessment, decision, approval, override.

Stream      ``events.governance.<intent_id>``
Invariants  an attempt is decided once for the same question; an approval counts once a person, for
            exactly what was shown, until it expires; the submitter does not approve alone while
            somebody else could; nothing here changes an event, an override is one more.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, assert_never
from uuid import UUID

from domain.canonical import digest
from domain.errors import IllegalTransition, Invalid, NotAllowed, NotFound
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalBound,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    Assessment,
    BreakGlassReviewed,
    BreakGlassUsed,
    DecisionMade,
    DecisionOverridden,
    GovernanceEvent,
    Mode,
)
from domain.ids import name_id
from domain.intent import Intent
from domain.policy import Inputs, Outcome
from domain.view import made

NAMESPACE = UUID("b0c8e6f4-51d2-5c1e-9a53-7d6f1f0a2c11")
APPROVER_ROLES: frozenset[str] = frozenset(("approver", "admin"))
REASON_CHARS_MAX = 2000
FATIGUE_FROM = 10  # approvals by one person within the time below before each further one warns
FATIGUE_WITHIN = timedelta(minutes=10)
REVIEW_WITHIN = timedelta(days=3)  # of break-glass

ApprovalStatus = Literal["pending", "granted", "rejected", "expired"]
Standing = Literal["undecided", "waiting", "cleared", "blocked", "rejected", "expired"]


# --- state -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to people, with the answers so far."""

    request: ApprovalRequested
    granted_by: tuple[str, ...] = ()
    rejected: ApprovalRejected | None = None
    expired: bool = False
    escalated: bool = False

    @property
    def status(self) -> ApprovalStatus:
        if self.rejected is not None:
            return "rejected"
        if len(self.granted_by) >= self.request.quorum:
            return "granted"
        return "expired" if self.expired else "pending"


@dataclass(frozen=True, slots=True)
class State:
    """What the events of one intent come to. ``attempt`` is that of the decision in force."""

    attempt: int = 0  # 0 = nothing decided yet
    assessed: AlignmentAssessed | None = None
    decision: DecisionMade | None = None
    approvals: tuple[Approval, ...] = ()  # of every subject type and attempt, oldest first
    override: DecisionOverridden | None = None
    glass: BreakGlassUsed | None = None  # the last one
    review: BreakGlassReviewed | None = None  # of ``glass``; None while it is owed

    def approval(self, approval_id: str) -> Approval | None:
        return next((a for a in self.approvals if a.request.approval_id == approval_id), None)


INITIAL = State()


def evolve(state: State, event: GovernanceEvent) -> State:
    match event:
        case AlignmentAssessed():
            return replace(state, assessed=event)
        case DecisionMade():
            # One that asks nobody carries no version: a person's answer may have come in between.
            if standing(state, attempt=event.attempt) in ("rejected", "expired"):
                return state
            return replace(state, decision=event, attempt=event.attempt)
        case ApprovalRequested():
            return replace(state, approvals=(*state.approvals, Approval(event)))
        case ApprovalGranted(approver=approver, on_behalf_of=principal):
            # A delegate and whom he stands for are one voice.
            voice = principal or approver
            return _changed(state, event.approval_id, lambda a: _with_grant(a, voice))
        case ApprovalBound():
            return state
        case ApprovalRejected():
            return _changed(state, event.approval_id, lambda a: replace(a, rejected=event))
        case ApprovalExpired():
            return _changed(state, event.approval_id, lambda a: replace(a, expired=True))
        case DecisionOverridden():
            return replace(state, override=event)
        case _:
            return _in_emergency(state, event)


def _in_emergency(
    state: State, event: ApprovalEscalated | BreakGlassUsed | BreakGlassReviewed
) -> State:
    match event:
        case ApprovalEscalated():
            return _changed(state, event.approval_id, lambda a: replace(a, escalated=True))
        case BreakGlassUsed():
            return replace(state, glass=event, review=None)
        case BreakGlassReviewed():
            return replace(state, review=event)
        case _:
            assert_never(event)


def _with_grant(approval: Approval, approver: str) -> Approval:
    if approver in approval.granted_by:
        return approval
    return replace(approval, granted_by=(*approval.granted_by, approver))


def _changed(state: State, approval_id: str, change: Any) -> State:
    """Apply an answer to a pending approval; the first end counts, later answers are ignored."""
    approvals = tuple(
        change(a) if a.request.approval_id == approval_id and a.status == "pending" else a
        for a in state.approvals
    )
    return replace(state, approvals=approvals)


def fold(events: Iterable[object]) -> State:
    """The state after these events; what is not of governance is passed over."""
    state = INITIAL
    for event in events:
        if isinstance(event, GovernanceEvent):
            state = evolve(state, event)
    return state


# --- what an intent may do ----------------------------------------------------------------------


def standing(state: State, *, attempt: int | None = None) -> Standing:
    """Where one attempt of an intent stands (default: the one decided last).

    A person's override is about the intent, so it outlives the attempt it was made in; an approval
    is for one decision and does not.
    """
    decision = state.decision
    if decision is None or (attempt is not None and attempt != state.attempt):
        return "undecided"
    if state.override is not None:
        return "cleared" if state.override.decision == "auto_approve" else "blocked"
    match decision.decision:
        case "auto_approve":
            return "cleared"
        case "blocked":
            return "blocked"
        case "requires_approval":
            return _of_approval(state, decision)
        case _:
            assert_never(decision.decision)


def _of_approval(state: State, decision: DecisionMade) -> Standing:
    asked = [
        a
        for a in state.approvals
        if a.request.decision_id == decision.decision_id and a.request.subject_type == "intent"
    ]
    if not asked:
        return "waiting"
    match asked[-1].status:
        case "pending":
            return "waiting"
        case "granted":
            return "cleared"
        case "rejected":
            return "rejected"
        case "expired":
            return "expired"


def quorum_of(state: State) -> int:
    """How many people the decision in force asks for; 0 when it asks nobody."""
    decision = state.decision
    asked = [
        a.request.quorum
        for a in state.approvals
        if decision and a.request.decision_id == decision.decision_id
    ]
    return max(asked, default=0)


def cleared(state: State, *, attempt: int | None = None) -> bool:
    """May this attempt of the intent go on? The one answer for every service."""
    return standing(state, attempt=attempt) == "cleared"


# --- what a person is shown -------------------------------------------------------------------


def shown(
    intent: Intent, decision: DecisionMade, *, bundle_digest: str = "", spec_digest: str = ""
) -> dict[str, Any]:
    """Exactly what an approver sees, as JSON: whoever changes any of it changes the digest.

    ``bundle_digest`` is that of the policies now in force (default: those of the decision);
    ``spec_digest`` where a SPEC is part of the question.
    """
    return {
        "intent": intent.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json", exclude=_newer(decision)),
        "bundle_digest": bundle_digest or decision.bundle_digest,
        "spec_digest": spec_digest,
    }


def _newer(decision: DecisionMade) -> set[str]:
    """Fields that a decision does not use: questions from before they existed keep their digest."""
    return {name for name in ("shadow_decision", "sandbox") if getattr(decision, name) is None}


def shown_digest(
    intent: Intent, decision: DecisionMade, *, bundle_digest: str = "", spec_digest: str = ""
) -> str:
    """Hex SHA-256 of the RFC 8785 JSON of ``shown``."""
    return digest(shown(intent, decision, bundle_digest=bundle_digest, spec_digest=spec_digest))


# --- the leader's decision --------------------------------------------------------------------


def decision_id(intent_id: str, attempt: int, replaces: str = "") -> str:
    """The id of the decision of one attempt: the same after a failover, so nothing is done twice.

    ``replaces`` is the decision that changed policies ask the same attempt again after.
    """
    return name_id(NAMESPACE.bytes, f"{intent_id}/{attempt}/decide/{replaces}")


def approval_id(decision_id: str, subject_type: str = "intent") -> str:
    return name_id(NAMESPACE.bytes, f"{decision_id}/{subject_type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """All that the leader has found out about one attempt of an intent."""

    intent: Intent
    attempt: int
    assessment: Assessment
    outcome: Outcome
    inputs: Inputs
    mode: Mode
    bundle_digest: str
    blueprint_digest: str
    intent_digest: str
    approvers: Collection[str]
    approval_ttl: timedelta
    at: datetime


Decided = AlignmentAssessed | DecisionMade | ApprovalRequested


def decide(command: Decide, state: State) -> tuple[Decided, ...]:
    """Return assessment, decision and, where a person decides, the question; ``()`` when done.

    An override is about the intent and has answered the question of every later attempt.

    Raises:
        IllegalTransition: a later attempt is already decided.
    """
    if command.attempt < state.attempt:
        raise IllegalTransition(f"attempt {state.attempt} is already decided")
    if command.attempt == state.attempt:
        return ()
    intent_id = command.intent.intent_id
    assessed = made(
        AlignmentAssessed,
        {
            "type": "AlignmentAssessed.v1",
            "at": command.at,
            "intent_id": intent_id,
            "assessment": command.assessment,
            "blueprint_digest": command.blueprint_digest,
            "intent_digest": command.intent_digest,
            "attempt": command.attempt,
        },
    )
    decision = _decision(command)
    if decision.decision != "requires_approval" or state.override is not None:
        return (assessed, decision)
    return (assessed, decision, _request(command, decision))


def decide_anew(command: Decide, state: State) -> tuple[Decided, ...]:
    """Return the decision of a waiting attempt under changed policies and, where a person still
    decides, the question; ``()`` when nothing waits, or these policies are those that asked."""
    before = state.decision
    waits = standing(state, attempt=command.attempt) == "waiting"
    if before is None or not waits or before.bundle_digest == command.bundle_digest:
        return ()
    decision = _decision(command, replaces=before.decision_id)
    if decision.decision != "requires_approval":
        return (decision,)
    return (decision, _request(command, decision))


def _decision(command: Decide, *, replaces: str = "") -> DecisionMade:
    intent, outcome = command.intent, command.outcome
    return made(
        DecisionMade,
        {
            "type": "DecisionMade.v1",
            "at": command.at,
            "intent_id": intent.intent_id,
            "decision_id": decision_id(intent.intent_id, command.attempt, replaces),
            "decision": outcome.decision,
            "policy_applied": outcome.policy_applied,
            "conditions": outcome.conditions,
            "inputs": command.inputs,
            "mode": command.mode,
            "bundle_digest": command.bundle_digest,
            "reasoning": outcome.reasoning,
            "next_action": outcome.next_action,
            "attempt": command.attempt,
            "service_name": intent.service_name,
            "shadow_decision": outcome.shadow,
            "sandbox": outcome.sandbox,
        },
    )


def _request(command: Decide, decision: DecisionMade) -> ApprovalRequested:
    intent, assessment = command.intent, command.assessment
    submitter = intent.submitted_by if intent.authenticated else ""  # a mere claim lowers nothing
    quorum, warning = quorum_for(assessment.self_reference, command.approvers, submitter)
    return made(
        ApprovalRequested,
        {
            "type": "ApprovalRequested.v1",
            "at": command.at,
            "intent_id": intent.intent_id,
            "approval_id": approval_id(decision.decision_id),
            "decision_id": decision.decision_id,
            "subject_type": "intent",
            "digest": shown_digest(intent, decision),
            "summary": f"{intent.service_name}: {intent.purpose}"[:500],
            "reasons": (decision.reasoning, *assessment.risk_factors),
            "quorum": quorum,
            "expires_at": command.at + command.approval_ttl,
            "attempt": command.attempt,
            "service_name": intent.service_name,
            "submitted_by": intent.submitted_by,
            "alignment_score": assessment.alignment_score,
            "risk_level": assessment.risk_level,
            "tier": assessment.tier,
            "warning": warning,
        },
    )


def quorum_for(
    self_reference: bool, approvers: Collection[str], submitter: str = ""
) -> tuple[int, str]:
    """How many people must agree, and a warning where there are too few people for that.

    ``submitter``: who may not approve while somebody else can, so where only one other is left, the
    two of them are the two people.
    """
    if not self_reference:
        return 1, ""
    wants = "a change to this system itself wants two approvers"
    if len(set(approvers) - {submitter}) >= 2:
        return 2, ""
    if len(set(approvers)) >= 2:
        return 1, f"{wants}; beside {submitter}, who submits it, there is only one"
    return 1, f"{wants}; there is only one"


# --- people -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """``digest`` is of what this person was shown; ``current`` of what would be shown now."""

    intent_id: str
    approval_id: str
    digest: str
    approver: str  # from authentication
    roles: frozenset[str]
    approvers: Collection[str]  # everybody who could
    submitted_by: str
    at: datetime
    current: str = ""  # "": not taken again
    comment: str = ""
    on_behalf_of: str = ""  # who delegated it to this person, see ``domain.delegation``
    recent: int = 0  # approvals by this person within FATIGUE_WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A no to the question named, and to every one that changed policies have put in its place."""

    intent_id: str
    approval_id: str
    digest: str  # of what this person was shown: of the question named
    approver: str
    roles: frozenset[str]
    reason: str
    at: datetime
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    intent_id: str
    approval_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    intent_id: str
    decision_id: str  # "": the one in force
    decision: Literal["auto_approve", "blocked"]
    by: str
    roles: frozenset[str]
    reason: str
    at: datetime


ApprovalCommand = Grant | Reject | Expire
ApprovalEvent = ApprovalGranted | ApprovalRejected | ApprovalExpired


def decide_approval(command: ApprovalCommand, state: State) -> tuple[ApprovalEvent, ...]:
    """Return the answer to record; ``()`` when this person's same answer is already there.

    Raises:
        NotFound: there is no such approval.
        NotAllowed: not an approver, or the submitter while somebody else could approve.
        Invalid: field ``reason``: a rejection says why; field ``digest``: none was given.
        IllegalTransition: it has ended or expired, a newer decision replaced it, or what was shown
            is not what is asked. A rejection outlives a decision that asks again about the same
            attempt; an approval does not.
    """
    approval = state.approval(command.approval_id)
    if approval is None:
        raise NotFound(f"no approval {command.approval_id}")
    match command:
        case Grant():
            return _grant(command, approval, state)
        case Reject():
            return _reject(command, approval, state)
        case Expire():
            return _expire(command, approval)
        case _:
            assert_never(command)


def _grant(command: Grant, approval: Approval, state: State) -> tuple[ApprovalGranted, ...]:
    _may_answer(command.roles, command.on_behalf_of)
    _same_question(command.digest, approval)
    if (command.on_behalf_of or command.approver) in approval.granted_by:
        return ()
    _still_asked(approval, state, command.at)
    if command.current and command.current != approval.request.digest:
        raise IllegalTransition("the intent, its SPEC or the policies changed since it was asked")
    warnings = []
    # Both may be empty: nobody said who submits it, and nobody has delegated.
    if command.submitted_by and command.submitted_by in (command.approver, command.on_behalf_of):
        others = {name for name in command.approvers if name != command.submitted_by}
        if others:
            raise NotAllowed("whoever submits an intent does not approve it")
        warnings.append("the only approver is the submitter")
    if command.recent >= FATIGUE_FROM:
        minutes = int(FATIGUE_WITHIN.total_seconds() // 60)
        warnings.append(
            f"{command.recent + 1} approvals by {command.approver} in {minutes} minutes"
        )
    return (
        ApprovalGranted(
            intent_id=command.intent_id,
            at=command.at,
            approval_id=command.approval_id,
            digest=command.digest,
            approver=command.approver,
            comment=command.comment[:REASON_CHARS_MAX],
            warning="; ".join(warnings),
            on_behalf_of=command.on_behalf_of,
        ),
    )


def _reject(command: Reject, shown: Approval, state: State) -> tuple[ApprovalRejected, ...]:
    _may_answer(command.roles, command.on_behalf_of)
    reason = _reason(command.reason)
    _same_question(command.digest, shown)
    asked = _asked_now(shown, state)
    if asked.rejected is not None and asked.rejected.approver == command.approver:
        return ()
    _still_asked(asked, state, command.at)
    return (
        ApprovalRejected(
            intent_id=command.intent_id,
            at=command.at,
            approval_id=asked.request.approval_id,
            digest=command.digest,
            approver=command.approver,
            reason=reason,
        ),
    )


def _asked_now(shown: Approval, state: State) -> Approval:
    """The newest question about the same attempt: changed policies have put it in this one's place.

    The intent of an attempt does not change, so whoever said no to one of them said no to it.
    """
    attempt = shown.request.attempt
    same = [
        a
        for a in state.approvals
        if a.request.subject_type == "intent" and a.request.attempt == attempt
    ]
    return same[-1] if shown in same else shown


def _expire(command: Expire, approval: Approval) -> tuple[ApprovalExpired, ...]:
    if approval.status != "pending" or command.at < approval.request.expires_at:
        return ()
    return (
        ApprovalExpired(
            intent_id=command.intent_id, at=command.at, approval_id=command.approval_id
        ),
    )


def _may_answer(roles: frozenset[str], on_behalf_of: str = "") -> None:
    if not roles & APPROVER_ROLES and not on_behalf_of:
        raise NotAllowed("this takes the role approver or admin")


def _same_question(given: str, approval: Approval) -> None:
    if not given:
        raise Invalid("digest", "must be the digest of what was shown")
    if given != approval.request.digest:
        raise IllegalTransition("what was shown is not what is asked: look at it again")


def _still_asked(approval: Approval, state: State, at: datetime) -> None:
    if approval.status != "pending":
        raise IllegalTransition(f"the approval has ended: {approval.status}")
    if at >= approval.request.expires_at:
        raise IllegalTransition("the approval has expired")
    if state.override is not None:
        raise IllegalTransition("the decision was overridden")
    decision = state.decision
    if approval.request.subject_type == "intent" and (
        decision is None or decision.decision_id != approval.request.decision_id
    ):
        raise IllegalTransition("a newer decision has replaced this question")


def _reason(reason: str) -> str:
    stripped = reason.strip()
    if not stripped:
        raise Invalid("reason", "must say why")
    if len(stripped) > REASON_CHARS_MAX:
        raise Invalid("reason", f"must have at most {REASON_CHARS_MAX} characters")
    return stripped


def decide_override(
    command: Override, state: State
) -> tuple[BreakGlassUsed | DecisionOverridden, ...]:
    """Return the override to record; ``()`` when the same one stands.

    Letting go on alone what takes several people is break-glass, and owes a review; so is letting
    one's own change to this system itself go on.

    Raises:
        NotFound: nothing is decided for this intent.
        NotAllowed: not an approver.
        Invalid: no reason was given.
        IllegalTransition: another decision is in force than the one named.
    """
    _may_answer(command.roles)
    reason = _reason(command.reason)
    if state.decision is None:
        raise NotFound(f"no decision on intent {command.intent_id}")
    in_force = state.decision.decision_id
    if command.decision_id and command.decision_id != in_force:
        raise IllegalTransition(f"the decision in force is {in_force}")
    standing_override = state.override
    if standing_override is not None and standing_override.decision == command.decision:
        return ()
    overridden = DecisionOverridden(
        intent_id=command.intent_id,
        at=command.at,
        decision_id=in_force,
        decision=command.decision,
        by=command.by,
        reason=reason,
    )
    if command.decision == "blocked" or not _takes_others(state, command.by):
        return (overridden,)
    return (glass_for(overridden), overridden)


def _takes_others(state: State, person: str) -> bool:
    """Is what waits for people not for this person alone to decide?"""
    own = state.assessed is not None and state.assessed.assessment.self_reference
    submitter = state.approvals[-1].request.submitted_by if state.approvals else ""
    return quorum_of(state) > 1 or (own and quorum_of(state) == 1 and person == submitter)


def glass_for(overridden: DecisionOverridden) -> BreakGlassUsed:
    """The break-glass that an override stands for."""
    return BreakGlassUsed(
        intent_id=overridden.intent_id,
        at=overridden.at,
        decision_id=overridden.decision_id,
        by=overridden.by,
        reason=overridden.reason,
        review_by=overridden.at + REVIEW_WITHIN,
    )
