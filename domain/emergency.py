"""When nobody answers, and when nobody can wait: escalation, break-glass and its review.

Stream      ``events.governance.<intent_id>``
Invariants  a question is escalated once; whoever breaks the glass gives a reason and owes a review
            by somebody else; nothing is hidden: each is an event of its own.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from domain.errors import IllegalTransition, Invalid, NotAllowed, NotFound
from domain.governance import APPROVER_ROLES, REASON_CHARS_MAX, State, glass_for
from domain.governance_events import (
    ApprovalEscalated,
    ApprovalRequested,
    BreakGlassReviewed,
    BreakGlassUsed,
    DecisionOverridden,
)

REASON_CHARS_MIN = 15  # one word does not explain an emergency


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    intent_id: str
    approval_id: str
    approvers: Collection[str]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    intent_id: str
    by: str  # from authentication
    roles: frozenset[str]
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """``approvers``: everybody who could review."""

    intent_id: str
    by: str
    roles: frozenset[str]
    approvers: Collection[str]
    justified: bool
    comment: str
    at: datetime


def escalates_at(request: ApprovalRequested) -> datetime:
    """Half-way to the end of the question."""
    return request.at + (request.expires_at - request.at) / 2


def escalate(command: Escalate, state: State) -> tuple[ApprovalEscalated, ...]:
    """Return the escalation; ``()`` when it is not due, done before, or the question has ended."""
    approval = state.approval(command.approval_id)
    if approval is None or approval.status != "pending" or approval.escalated:
        return ()
    if not escalates_at(approval.request) <= command.at < approval.request.expires_at:
        return ()
    return (
        ApprovalEscalated(
            intent_id=command.intent_id,
            at=command.at,
            approval_id=command.approval_id,
            to=tuple(sorted(set(command.approvers))),
            expires_at=approval.request.expires_at,
        ),
    )


def break_glass(
    command: BreakGlass, state: State
) -> tuple[BreakGlassUsed, DecisionOverridden] | tuple[()]:
    """Let the intent go on at once; ``()`` when this person has done so already.

    Raises:
        NotFound: nothing is decided for this intent.
        NotAllowed: not an approver.
        Invalid: field ``reason``: it does not explain the emergency.
        IllegalTransition: it may go on anyway, or an earlier use has not been reviewed.
    """
    if not command.roles & APPROVER_ROLES:
        raise NotAllowed("this takes the role approver or admin")
    reason = _explained(command.reason)
    if state.decision is None:
        raise NotFound(f"no decision on intent {command.intent_id}")
    cleared_by_override = state.override is not None and state.override.decision == "auto_approve"
    if state.glass is not None and state.review is None:
        if state.glass.by == command.by and cleared_by_override:
            return ()
        raise IllegalTransition("the last use of break-glass has not been reviewed")
    if cleared_by_override or (
        state.override is None and state.decision.decision == "auto_approve"
    ):
        raise IllegalTransition("it may go on already")
    decision_id = state.decision.decision_id
    overridden = DecisionOverridden(
        intent_id=command.intent_id,
        at=command.at,
        decision_id=decision_id,
        decision="auto_approve",
        by=command.by,
        reason=f"break-glass: {reason}",
    )
    return (glass_for(overridden), overridden)


def review(command: Review, state: State) -> tuple[BreakGlassReviewed, ...]:
    """Return the review; ``()`` when this person's same verdict stands.

    Raises:
        NotFound: nobody broke the glass for this intent.
        NotAllowed: not an approver, or the one who broke it while somebody else could review.
        Invalid: field ``comment``: a verdict says why.
        IllegalTransition: it has been reviewed.
    """
    if not command.roles & APPROVER_ROLES:
        raise NotAllowed("this takes the role approver or admin")
    glass = state.glass
    if glass is None:
        raise NotFound(f"no break-glass on intent {command.intent_id}")
    comment = command.comment.strip()[:REASON_CHARS_MAX]
    if not comment:
        raise Invalid("comment", "must say why")
    if state.review is not None:
        if (state.review.by, state.review.justified) == (command.by, command.justified):
            return ()
        raise IllegalTransition(f"{state.review.by} has reviewed it")
    warning = ""
    if command.by == glass.by:
        if set(command.approvers) - {command.by}:
            raise NotAllowed("whoever breaks the glass does not review it")
        warning = "nobody else could review it"
    return (
        BreakGlassReviewed(
            intent_id=command.intent_id,
            at=command.at,
            decision_id=glass.decision_id,
            by=command.by,
            justified=command.justified,
            comment=comment,
            warning=warning,
        ),
    )


def _explained(reason: str) -> str:
    stripped = reason.strip()
    if not REASON_CHARS_MIN <= len(stripped) <= REASON_CHARS_MAX:
        limits = f"{REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters"
        raise Invalid("reason", f"must explain the emergency in {limits}")
    return stripped
