"""What governance shows: undecided intents, decisions, approvals, mode, policies, audit.

Source      ``events.intent.>`` and ``events.governance.>``
Rebuild     fold from position 0
"""

from typing import Any, Literal

from pydantic import AwareDatetime

from domain.event import Value
from domain.governance_events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    BreakGlassReviewed,
    BreakGlassUsed,
    Decision,
    DecisionMade,
    DecisionOverridden,
    DelegationEnded,
    Mode,
    ModeChanged,
    NextAction,
    Policy,
    PolicyAdopted,
    PolicyRetired,
    RiskLevel,
)
from domain.intent import (
    PRIORITIES,
    Intent,
    IntentCancelled,
    IntentCompleted,
    IntentFailed,
    IntentQueued,
    IntentReprioritized,
    Priority,
)
from domain.policy import POLICIES_SUBJECT
from domain.recorded import Recorded
from domain.view import Table, made, updated

_ENDED = (IntentCancelled, IntentCompleted, IntentFailed)
_POSITIONS = 10**15  # more than any log holds: priority first, then the order of arrival


# --- undecided ----------------------------------------------------------------------------------


class Undecided(Value):
    """An attempt of an intent that waits for its decision."""

    intent: Intent
    attempt: int
    position: int  # of its IntentQueued
    priority: Priority
    rank: int  # order of work: priority, then position


_OF_UNDECIDED = (IntentQueued, IntentReprioritized, DecisionMade, *_ENDED)


def _undecided_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.intent_id,)


def _fold_undecided(row: Undecided | None, recorded: Recorded[Any], _: str) -> Undecided | None:
    event = recorded.event
    if isinstance(event, IntentQueued):
        priority = event.intent.priority
        values = {
            "intent": event.intent,
            "attempt": event.attempt,
            "position": recorded.position,
            "priority": priority,
            "rank": _rank(priority, recorded.position),
        }
        return made(Undecided, values)
    if row is None:
        return None
    if isinstance(event, IntentReprioritized):
        rank = _rank(event.priority, row.position)
        return updated(row, {"priority": event.priority, "rank": rank})
    if isinstance(event, DecisionMade) and event.attempt < row.attempt:
        return row
    return None  # decided, or ended before that


def _rank(priority: Priority, position: int) -> int:
    return PRIORITIES.index(priority) * _POSITIONS + position


UNDECIDED: Table[Undecided] = Table(
    name="undecided",
    version=1,
    subjects=("events.intent.>", "events.governance.>"),
    row=Undecided,
    events=_OF_UNDECIDED,
    anew=(IntentQueued,),
    keys=_undecided_keys,
    fold=_fold_undecided,
    open=lambda row: True,
)


# --- decisions ----------------------------------------------------------------------------------


class DecisionRow(Value):
    """One decision. What a person put above it is in ``OVERRIDES``: see ``with_override``."""

    decision_id: str
    intent_id: str
    attempt: int
    service_name: str
    decision: Decision
    policy_applied: str
    next_action: NextAction
    mode: Mode
    alignment_score: float | None
    risk_level: str
    tier: int | None
    self_reference: bool
    evaluator: str
    bundle_digest: str
    reasoning: str
    inputs: dict[str, bool | int | float | str | tuple[str, ...]]
    at: AwareDatetime
    position: int
    overridden_to: Literal["", "auto_approve", "blocked"] = ""
    overridden_by: str = ""
    override_reason: str = ""


def _decision_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.decision_id,)


def _fold_decision(row: DecisionRow | None, recorded: Recorded[Any], _: str) -> DecisionRow | None:
    event: DecisionMade = recorded.event
    score, tier = event.inputs.get("alignment_score"), event.inputs.get("tier")
    values = {
        "decision_id": event.decision_id,
        "intent_id": event.intent_id,
        "attempt": event.attempt,
        "service_name": event.service_name,
        "decision": event.decision,
        "policy_applied": event.policy_applied,
        "next_action": event.next_action,
        "mode": event.mode,
        "alignment_score": float(score) if isinstance(score, int | float) else None,
        "risk_level": str(event.inputs.get("risk_level", "")),
        "tier": tier if isinstance(tier, int) else None,
        "self_reference": event.inputs.get("self_reference") is True,
        "evaluator": str(event.inputs.get("evaluator", "")),
        "bundle_digest": event.bundle_digest,
        "reasoning": event.reasoning,
        "inputs": event.inputs,
        "at": event.at,
        "position": recorded.position,
        "overridden_to": "",
        "overridden_by": "",
        "override_reason": "",
    }
    return made(DecisionRow, values)


DECISIONS: Table[DecisionRow] = Table(
    name="decisions",
    version=2,
    subjects=("events.governance.>",),
    row=DecisionRow,
    events=(DecisionMade,),
    anew=(DecisionMade,),
    keys=_decision_keys,
    fold=_fold_decision,
    columns=("position", "decision", "intent_id", "policy_applied", "mode", "risk_level", "tier"),
)


# --- overrides ----------------------------------------------------------------------------------


class Overrides(Value):
    """Every override of one intent with its position, oldest first. The key is the intent's id."""

    made: tuple[tuple[int, DecisionOverridden], ...]


def _override_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.intent_id,)


def _fold_override(row: Overrides | None, recorded: Recorded[Any], _: str) -> Overrides:
    before = row.made if row else ()
    return Overrides(made=(*before, (recorded.position, recorded.event)))


OVERRIDES: Table[Overrides] = Table(
    name="overrides",
    version=1,
    subjects=("events.governance.>",),
    row=Overrides,
    events=(DecisionOverridden,),
    keys=_override_keys,
    fold=_fold_override,
)


def with_override(row: DecisionRow, overrides: Overrides | None) -> DecisionRow:
    """Return the decision with the override that stands above it: the last one of the decision
    itself, else the last one of the intent before it (it is about the intent, so it outlives an
    attempt)."""
    made = overrides.made if overrides else ()
    above = [o for at, o in made if o.decision_id == row.decision_id or at < row.position]
    if not above:
        return row
    return updated(
        row,
        {
            "overridden_to": above[-1].decision,
            "overridden_by": above[-1].by,
            "override_reason": above[-1].reason,
        },
    )


# --- approvals ----------------------------------------------------------------------------------

ApprovalState = Literal["pending", "granted", "rejected", "expired", "overridden", "withdrawn"]


class Answered(Value):
    """How the question of an earlier attempt ended."""

    approval_id: str
    attempt: int
    status: ApprovalState
    answered_by: str
    reason: str


class ApprovalRow(Value):
    """The newest question to people about one intent. The key is the intent's id.

    ``withdrawn``: the intent ended, or was decided anew, before anybody answered.
    """

    intent_id: str
    approval_id: str
    decision_id: str
    attempt: int
    subject_type: Literal["intent", "build", "deploy"]
    status: ApprovalState
    service_name: str
    submitted_by: str
    summary: str
    reasons: tuple[str, ...]
    alignment_score: float | None
    risk_level: RiskLevel | None
    tier: int | None
    digest: str
    quorum: int
    granted_by: tuple[str, ...] = ()  # whose voices: a delegate's is that of whom he stands for
    hands: tuple[str, ...] = ()  # who gave them
    answered_by: str = ""  # who gave the last answer
    reason: str = ""  # of a rejection or an override; else the last comment
    warning: str = ""
    requested_at: AwareDatetime
    expires_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    expires_ts: float  # ``expires_at`` as seconds of the epoch, to sort by
    escalates_ts: float = 0.0  # half-way to there
    escalated_to: tuple[str, ...] = ()  # not empty: half of the time is over
    position: int  # of its ApprovalRequested
    earlier: tuple[Answered, ...] = ()


_NEVER = 1e12

_APPROVAL_EVENTS = (
    ApprovalRequested,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalExpired,
    ApprovalEscalated,
    DecisionMade,
    DecisionOverridden,
    *_ENDED,
)


def _approval_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.intent_id,)


def _fold_approval(row: ApprovalRow | None, recorded: Recorded[Any], _: str) -> ApprovalRow | None:
    event = recorded.event
    if isinstance(event, ApprovalRequested):
        return _asked(row, event, recorded.position)
    if row is None or row.status != "pending":
        return row
    if isinstance(event, ApprovalGranted | ApprovalRejected | ApprovalExpired):
        return row if event.approval_id != row.approval_id else _answered(row, event)
    if isinstance(event, ApprovalEscalated):
        same = event.approval_id == row.approval_id
        told = {"escalated_to": event.to, "escalates_ts": _NEVER}
        return updated(row, told) if same else row
    if isinstance(event, DecisionOverridden):
        return _ended(row, "overridden", recorded, by=event.by, reason=event.reason)
    if isinstance(event, DecisionMade):
        newer = event.decision_id != row.decision_id
        return _ended(row, "withdrawn", recorded, reason="decided anew") if newer else row
    return _ended(row, "withdrawn", recorded, reason="the intent has ended")


def _asked(row: ApprovalRow | None, event: ApprovalRequested, position: int) -> ApprovalRow:
    earlier: tuple[Answered, ...] = ()
    if row is not None:
        last = Answered(
            approval_id=row.approval_id,
            attempt=row.attempt,
            status=row.status,
            answered_by=row.answered_by,
            reason=row.reason,
        )
        earlier = (*row.earlier, last)
    values = {
        "intent_id": event.intent_id,
        "approval_id": event.approval_id,
        "decision_id": event.decision_id,
        "attempt": event.attempt,
        "subject_type": event.subject_type,
        "status": "pending",
        "service_name": event.service_name,
        "submitted_by": event.submitted_by,
        "summary": event.summary,
        "reasons": event.reasons,
        "alignment_score": event.alignment_score,
        "risk_level": event.risk_level,
        "tier": event.tier,
        "digest": event.digest,
        "quorum": event.quorum,
        "granted_by": (),
        "hands": (),
        "answered_by": "",
        "reason": "",
        "warning": event.warning,
        "requested_at": event.at,
        "expires_at": event.expires_at,
        "ended_at": None,
        "expires_ts": event.expires_at.timestamp(),
        "escalates_ts": (event.at + (event.expires_at - event.at) / 2).timestamp(),
        "escalated_to": (),
        "position": position,
        "earlier": earlier,
    }
    return made(ApprovalRow, values)


def _answered(
    row: ApprovalRow, event: ApprovalGranted | ApprovalRejected | ApprovalExpired
) -> ApprovalRow:
    if isinstance(event, ApprovalExpired):
        return updated(row, {"status": "expired", "ended_at": event.at})
    if isinstance(event, ApprovalRejected):
        return updated(
            row,
            {
                "status": "rejected",
                "answered_by": event.approver,
                "reason": event.reason,
                "ended_at": event.at,
            },
        )
    voice = event.on_behalf_of or event.approver  # a delegate and whom he stands for are one
    granted_by = (*(n for n in row.granted_by if n != voice), voice)
    enough = len(granted_by) >= row.quorum
    return updated(
        row,
        {
            "status": "granted" if enough else "pending",
            "granted_by": granted_by,
            "hands": (*row.hands, event.approver),
            "answered_by": event.approver,
            "reason": event.comment,
            "warning": event.warning or row.warning,
            "ended_at": event.at if enough else None,
        },
    )


def _ended(
    row: ApprovalRow,
    status: ApprovalState,
    recorded: Recorded[Any],
    *,
    by: str = "",
    reason: str,
) -> ApprovalRow:
    return updated(
        row,
        {
            "status": status,
            "answered_by": by or row.answered_by,
            "reason": reason,
            "ended_at": recorded.event.at,
        },
    )


APPROVALS: Table[ApprovalRow] = Table(
    name="approvals",
    version=3,
    subjects=("events.intent.>", "events.governance.>"),
    row=ApprovalRow,
    events=_APPROVAL_EVENTS,
    keys=_approval_keys,
    fold=_fold_approval,
    columns=(
        "position",
        "status",
        "approval_id",
        "tier",
        "risk_level",
        "submitted_by",
        "expires_ts",
        "escalates_ts",
    ),
)


# --- break-glass --------------------------------------------------------------------------------


class GlassRow(Value):
    """The last use of break-glass on one intent. The key is the intent's id."""

    intent_id: str
    decision_id: str
    by: str
    reason: str
    at: AwareDatetime
    review_by: AwareDatetime
    position: int
    open: bool = True  # until somebody has reviewed it
    reviewed_by: str = ""
    justified: bool | None = None
    comment: str = ""


def _glass_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.intent_id,)


def _fold_glass(row: GlassRow | None, recorded: Recorded[Any], _: str) -> GlassRow | None:
    event = recorded.event
    if isinstance(event, BreakGlassUsed):
        values = event.model_dump(exclude={"type"})
        return GlassRow(**values, position=recorded.position)
    if row is None:
        return None
    return updated(
        row,
        {
            "open": False,
            "reviewed_by": event.by,
            "justified": event.justified,
            "comment": event.comment,
        },
    )


GLASS: Table[GlassRow] = Table(
    name="break_glass",
    version=1,
    subjects=("events.governance.>",),
    row=GlassRow,
    events=(BreakGlassUsed, BreakGlassReviewed),
    keys=_glass_keys,
    fold=_fold_glass,
    columns=("open", "position"),
)


# --- mode and policies --------------------------------------------------------------------------


class ModeRow(Value):
    """The mode in force. ``last_position`` is the condition for the next change."""

    mode: Mode
    user_present: bool
    by: str
    reason: str
    since: AwareDatetime
    last_position: int


MODE_KEY = "mode"


def _mode_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (MODE_KEY,)


def _fold_mode(row: ModeRow | None, recorded: Recorded[Any], _: str) -> ModeRow | None:
    event: ModeChanged = recorded.event
    present = event.user_present
    return ModeRow(
        mode=event.mode,
        user_present=(row is not None and row.user_present) if present is None else present,
        by=event.by,
        reason=event.reason,
        since=event.at,
        last_position=recorded.position,
    )


MODE: Table[ModeRow] = Table(
    name="mode",
    version=1,
    subjects=("events.governance.mode",),
    row=ModeRow,
    events=(ModeChanged,),
    keys=_mode_keys,
    fold=_fold_mode,
)


class PolicyRow(Value):
    """A policy that is or was in force; a retired one is kept to be seen."""

    policy: Policy
    retired: bool
    by: str
    reason: str
    since: AwareDatetime
    position: int


def _policy_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    event = recorded.event
    return (event.policy.policy_id if isinstance(event, PolicyAdopted) else event.policy_id,)


def _fold_policy(row: PolicyRow | None, recorded: Recorded[Any], _: str) -> PolicyRow | None:
    event = recorded.event
    if isinstance(event, PolicyAdopted):
        return PolicyRow(
            policy=event.policy,
            retired=False,
            by=event.by,
            reason=event.reason,
            since=event.at,
            position=recorded.position,
        )
    if row is None:
        return None
    return updated(
        row,
        {
            "retired": True,
            "by": event.by,
            "reason": event.reason,
            "since": event.at,
            "position": recorded.position,
        },
    )


POLICIES: Table[PolicyRow] = Table(
    name="policies",
    version=1,
    subjects=(POLICIES_SUBJECT,),
    row=PolicyRow,
    events=(PolicyAdopted, PolicyRetired),
    keys=_policy_keys,
    fold=_fold_policy,
    columns=("retired",),
)


# --- audit --------------------------------------------------------------------------------------


class AuditRow(Value):
    """One line of governance's history. The key is the position, so that keys sort as the log."""

    position: int
    at: AwareDatetime
    type: str
    actor: str
    intent_id: str
    decision_id: str
    summary: str


AUDITED = (
    DecisionMade,
    DecisionOverridden,
    ApprovalRequested,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalExpired,
    ModeChanged,
    PolicyAdopted,
    PolicyRetired,
    ApprovalEscalated,
    BreakGlassUsed,
    BreakGlassReviewed,
    ApprovalDelegated,
    DelegationEnded,
)


def _audit_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (f"{recorded.position:016d}",)


def _fold_audit(row: AuditRow | None, recorded: Recorded[Any], _: str) -> AuditRow | None:
    event = recorded.event
    values = {
        "position": recorded.position,
        "at": event.at,
        "type": event.type,
        "actor": recorded.actor,
        "intent_id": getattr(event, "intent_id", ""),
        "decision_id": getattr(event, "decision_id", ""),
        "summary": summary(event),
    }
    return made(AuditRow, values)


def summary(event: Any) -> str:
    """One line for people on an event that governance's audit lists."""
    match event:
        case DecisionMade():
            return f"{event.decision}: {event.reasoning}"
        case DecisionOverridden():
            return f"{event.by} decided {event.decision}: {event.reason}"
        case ApprovalRequested():
            return f"asked {event.quorum} approver(s): {event.summary}"
        case ApprovalGranted():
            voice = f" for {event.on_behalf_of}" if event.on_behalf_of else ""
            warning = f" ({event.warning})" if event.warning else ""
            return f"granted by {event.approver}{voice}{warning}"
        case ApprovalRejected():
            return f"rejected by {event.approver}: {event.reason}"
        case ApprovalExpired():
            return "expired without an answer"
        case ModeChanged():
            return f"mode {event.mode} by {event.by}" + (
                f": {event.reason}" if event.reason else ""
            )
        case PolicyAdopted():
            return f"policy {event.policy.policy_id} v{event.policy.version} by {event.by}"
        case PolicyRetired():
            return f"policy {event.policy_id} retired by {event.by}: {event.reason}"
        case _:
            return _people_summary(event)


def _people_summary(event: Any) -> str:
    match event:
        case ApprovalEscalated():
            return f"nobody has answered: told {', '.join(event.to)}"
        case BreakGlassUsed():
            return f"used by {event.by}, review owed by {event.review_by:%Y-%m-%d}: {event.reason}"
        case BreakGlassReviewed(justified=justified):
            verdict = "justified" if justified else "not justified"
            return f"break-glass {verdict}, says {event.by}: {event.comment}"
        case ApprovalDelegated():
            return f"{event.approver} lets {event.delegate} answer until {event.until.isoformat()}"
        case DelegationEnded():
            return f"{event.delegate} no longer answers for {event.approver}"
        case _:
            return str(event.type)


AUDIT: Table[AuditRow] = Table(
    name="governance_audit",
    version=3,
    subjects=("events.governance.>",),
    row=AuditRow,
    events=AUDITED,
    keys=_audit_keys,
    fold=_fold_audit,
    once=True,
    columns=("type", "intent_id"),
)

TABLES: tuple[Table[Any], ...] = (
    UNDECIDED,
    DECISIONS,
    OVERRIDES,
    APPROVALS,
    GLASS,
    MODE,
    POLICIES,
    AUDIT,
)
