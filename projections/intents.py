"""Intents from the first message to their end: what the intent-queue shows and works on.

Tables      ``OPEN_RAW`` (raw messages without an answer), ``REFUSALS`` (answers that were no),
            ``INTENTS`` (one row an intent), ``TIMELINE`` (one row an event of an intent).
Rebuild     fold from position 0.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.delivery_events import (
    ArtifactPackaged,
    BuildApproved,
    BuildCancelled,
    BuildFailed,
    BuildStarted,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    SpecAccepted,
    SpecDrafted,
    SpecNeedsDetail,
    SpecOptimized,
    SpecVerified,
    TestsFailed,
    TestsPassed,
)
from domain.event import Event
from domain.governance_events import (
    AlignmentAssessed,
    ApprovalBound,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    DecisionMade,
    DecisionOverridden,
)
from domain.intent import (
    GOVERNED,
    PRIORITIES,
    Intent,
    IntentCancelled,
    IntentCompleted,
    IntentFailed,
    IntentQueued,
    IntentRefused,
    IntentReprioritized,
    Priority,
    RawIntent,
    Status,
)
from domain.recorded import Recorded
from domain.view import Table, made, updated

INTENT_SUBJECTS = (
    "events.intent.>",
    "events.governance.>",
    "events.spec.>",
    "events.build.>",
    "events.deployment.>",
)
WAITING: tuple[Status, ...] = ("queued", "governance_check")
OPEN: tuple[Status, ...] = (
    *WAITING,
    "awaiting_approval",
    "spec_generation",
    "needs_detail",
    "building",
    "deploying",
)
_OF_NO_INTENT = frozenset((RawIntent, IntentRefused))
_OWN = frozenset((IntentReprioritized, IntentCancelled, IntentCompleted, IntentFailed))
AnyRecorded = Recorded[Any]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class OpenRaw(_Row):
    position: int
    at: AwareDatetime
    subject_name: str
    body: str  # base64

    def event(self) -> RawIntent:
        body = base64.b64decode(self.body)
        return RawIntent(at=self.at, subject_name=self.subject_name, body=body)


class Refusal(_Row):
    raw_position: int
    position: int
    at: AwareDatetime
    code: str
    reason: str
    field: str
    intent_id: str
    service_name: str
    existing: str


class Entry(_Row):
    """The beginning of a stay in one status, by the event at ``position``."""

    phase: Status
    timestamp: AwareDatetime
    position: int


class Phase(_Row):
    """One stay in one status; ``duration_seconds`` is None while it lasts."""

    phase: Status
    status: Literal["active", "done"]
    timestamp: AwareDatetime
    duration_seconds: float | None = None
    position: int


class Ending(_Row):
    """What the rest of the line says of how this intent ends, before the queue records it."""

    status: Literal["completed", "failed", "rejected", "blocked", "expired"]
    phase: str
    reason: str
    version: str = ""
    url: str = ""


class Overridden(_Row):
    """A person's decision beside the policies': about the intent, so it outlives the attempt."""

    decision: Literal["auto_approve", "blocked"]
    by: str
    reason: str


class IntentRow(_Row):
    intent_id: str
    intent: Intent
    attempt: int
    raw_position: int
    status: Status
    open: bool
    priority: Priority
    rank: str  # priority, then age: the order in which governance takes them
    service_name: str
    tier: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    stream_position: int  # last position on the intent's own subject
    position: int  # last event of the intent anywhere
    due: bool = False  # something is to be recorded: the ending, or (without one) a new attempt
    ending: Ending | None = None
    overridden: Overridden | None = None
    quorum: int = 1
    grants: tuple[str, ...] = ()
    approval_id: str = ""
    alignment_score: float | None = None
    risk_level: str = ""
    risk_factors: tuple[str, ...] = ()
    governance_decision: str = ""
    governance_reasoning: str = ""
    policy_matched: str = ""
    spec_score: float | None = None
    questions: tuple[str, ...] = ()
    build_id: str = ""
    deployment_url: str = ""
    version: str = ""
    outcome: str = ""  # how it ended, one sentence
    entries: tuple[Entry, ...] = ()

    @property
    def lifecycle(self) -> tuple[Phase, ...]:
        """Its stays, the newest one last; an end takes no time."""
        return tuple(map(_phase, self.entries, (*self.entries[1:], None)))


_BLANK = {name: field.default for name, field in IntentRow.model_fields.items()}


class TimelineRow(_Row):
    intent_id: str
    position: int
    type: str
    at: AwareDatetime
    actor: str
    epoch: int
    summary: str


def rank_of(priority: Priority, raw_position: int) -> str:
    """Sorts by priority, then by age."""
    return f"{PRIORITIES.index(priority)}-{raw_position:015d}"


def intent_of(recorded: AnyRecorded) -> str:
    """The id of the intent that an event is about; "" when it is about none."""
    event = recorded.event
    if type(event) in _OF_NO_INTENT:
        return ""
    # A missing attribute of a model is slow to miss.
    return event.__dict__.get("intent_id") or recorded.correlation_id


def raw_key(position: int) -> str:
    """Under which a raw message is found by its position; sorts as positions do."""
    return f"{position:015d}"


def _raw_keys(recorded: AnyRecorded) -> Iterable[str]:
    match recorded.event:
        case RawIntent():
            return (raw_key(recorded.position),)
        case event:
            return (raw_key(event.raw_position),)


def _fold_raw(row: OpenRaw | None, recorded: AnyRecorded, _: str) -> OpenRaw | None:
    match recorded.event:
        case RawIntent(at=at, subject_name=subject, body=body):
            text = base64.b64encode(body).decode()
            values = {
                "position": recorded.position,
                "at": at,
                "subject_name": subject,
                "body": text,
            }
            return made(OpenRaw, values)
        case _:
            return None  # answered


def _refusal_keys(recorded: AnyRecorded) -> Iterable[str]:
    return (raw_key(recorded.event.raw_position),)


def _fold_refusal(row: Refusal | None, recorded: AnyRecorded, _: str) -> Refusal | None:
    event: IntentRefused = recorded.event
    values = event.model_dump(exclude={"type"})
    return Refusal(position=recorded.position, **values)


def _intent_keys(recorded: AnyRecorded) -> Iterable[str]:
    intent_id = intent_of(recorded)
    return (intent_id,) if intent_id else ()


def _fold_intent(row: IntentRow | None, recorded: AnyRecorded, _: str) -> IntentRow | None:
    event = recorded.event
    kind = type(event)
    if kind is IntentQueued:
        return _queued(event, recorded.position, before=row)
    if row is None:
        return None  # an event of something that is not an intent (a build submitted on its own)
    if not row.open:
        return _after_the_end(row, event)
    if _of_older_attempt(row, event):
        return row
    changes = _CHANGES.get(kind)
    changed = changes(row, event) if changes is not None else {}
    if kind in _OWN:
        changed["stream_position"] = recorded.position
    if not changed:
        return updated(row, {"position": recorded.position})
    status: Status = changed.get("status", row.status)
    changed.update(position=recorded.position, updated_at=event.at, open=status in OPEN)
    if status != row.status:
        changed["entries"] = (*row.entries, _entry(status, event, recorded.position))
    return updated(row, changed)


def _after_the_end(row: IntentRow, event: Event) -> IntentRow:
    """Nothing changes an ended intent, but an override may say that it has to be opened again."""
    if not isinstance(event, DecisionOverridden):
        return row
    overridden = _overridden(event)
    return updated(row, {"overridden": overridden} | _reopens(row.status, overridden))


def _overridden(event: DecisionOverridden) -> Overridden:
    return Overridden(decision=event.decision, by=event.by, reason=event.reason)


def _reopens(status: Status, overridden: Overridden | None) -> dict[str, Any]:
    """Due without an ending: the queue's leader records a new attempt."""
    lets_go = overridden is not None and overridden.decision == "auto_approve"
    return {"due": lets_go and status in GOVERNED, "ending": None}


def _of_older_attempt(row: IntentRow, event: Event) -> bool:
    if type(event) is BuildStarted:
        return False  # counts the build's own attempts
    attempt = event.__dict__.get("attempt")
    return attempt is not None and attempt != row.attempt


def _queued(event: IntentQueued, position: int, *, before: IntentRow | None) -> IntentRow:
    intent = event.intent
    entry = _entry("queued", event, position)
    values = {
        "intent_id": event.intent_id,
        "intent": intent,
        "attempt": event.attempt,
        "raw_position": event.raw_position,
        "status": "queued",
        "open": True,
        "priority": intent.priority,
        "rank": rank_of(intent.priority, event.raw_position),
        "service_name": intent.service_name,
        "tier": intent.target_tier,
        "created_at": before.created_at if before else event.at,
        "updated_at": event.at,
        "stream_position": position,
        "position": position,
        "overridden": before.overridden if before else None,
        "entries": (*before.entries, entry) if before else (entry,),
    }
    return made(IntentRow, {**_BLANK, **values})


def _entry(status: Status, event: Event, position: int) -> Entry:
    return made(Entry, {"phase": status, "timestamp": event.at, "position": position})


def _phase(entry: Entry, following: Entry | None) -> Phase:
    seconds: float | None
    if entry.phase not in OPEN:
        seconds = 0.0
    elif following is None:
        seconds = None
    else:
        seconds = round((following.timestamp - entry.timestamp).total_seconds(), 3)
    return Phase(
        phase=entry.phase,
        status="active" if seconds is None else "done",
        timestamp=entry.timestamp,
        duration_seconds=seconds,
        position=entry.position,
    )


def _completed(row: IntentRow, event: IntentCompleted) -> dict[str, Any]:
    return {
        "status": "completed",
        "outcome": event.outcome,
        "version": event.version or row.version,
        "deployment_url": event.url or row.deployment_url,
        "due": False,
    }


def _ends(
    status: Literal["completed", "failed", "rejected", "blocked", "expired"],
    phase: str,
    reason: str,
    **more: str,
) -> dict[str, Any]:
    ending = Ending(status=status, phase=phase, reason=reason, **more)
    return {"due": True, "ending": ending}


def _assessed(_: IntentRow, event: AlignmentAssessed) -> dict[str, Any]:
    assessment = event.assessment
    return {
        "status": "governance_check",
        "alignment_score": assessment.alignment_score,
        "risk_level": assessment.risk_level,
        "risk_factors": assessment.risk_factors,
        "tier": assessment.tier,
    }


def _asked(_: IntentRow, event: ApprovalRequested) -> dict[str, Any]:
    return {
        "status": "awaiting_approval",
        "approval_id": event.approval_id,
        "quorum": event.quorum,
        "grants": (),  # of another question, which changed policies have replaced
    }


def _granted(row: IntentRow, event: ApprovalGranted) -> dict[str, Any]:
    grants = (*row.grants, event.on_behalf_of or event.approver)  # one voice
    enough = len(set(grants)) >= row.quorum
    return {"grants": grants} | ({"status": "spec_generation"} if enough else {})


def _by_override(row: IntentRow, overridden: Overridden) -> dict[str, Any]:
    """What the override in force makes of an open intent, whatever the policies decided."""
    changed: dict[str, Any] = {
        "overridden": overridden,
        "governance_decision": overridden.decision,
    }
    if overridden.decision == "blocked":
        reason = f"blocked by {overridden.by}: {overridden.reason}"
        return changed | _ends("blocked", "governance_check", reason)
    if row.ending is None or row.ending.status in GOVERNED:
        changed |= {"due": False, "ending": None}
    if row.spec_score is None and row.status in (*WAITING, "awaiting_approval"):
        changed["status"] = "spec_generation"
    return changed


def _decided(row: IntentRow, event: DecisionMade) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "governance_decision": event.decision,
        "governance_reasoning": event.reasoning,
        "policy_matched": event.policy_applied,
    }
    if row.overridden is not None:
        return changed | _by_override(row, row.overridden)
    match event.decision:
        case "auto_approve":
            changed["status"] = "spec_generation"
        case "requires_approval":
            changed["status"] = "awaiting_approval"
        case "blocked":
            changed |= _ends("blocked", "governance_check", event.reasoning)
    return changed


def _rated(_: IntentRow, event: SpecVerified | SpecOptimized) -> dict[str, Any]:
    return {"spec_score": event.score.total}


def _accepted(row: IntentRow, event: SpecAccepted) -> dict[str, Any]:
    status = "building" if row.intent.auto_build else "awaiting_approval"
    return {"spec_score": event.score, "status": status}


def _runs(_: IntentRow, event: DeploymentHealthy) -> dict[str, Any]:
    text = f"{event.service_name} {event.version} runs at {event.url}"
    return _ends("completed", "deploying", text, version=event.version, url=event.url)


def _not_deployed(_: IntentRow, event: DeploymentFailed | DeploymentRolledBack) -> dict[str, Any]:
    return _ends("failed", "deploying", event.reason)


def _retired(_: IntentRow, event: DeploymentRetired) -> dict[str, Any]:
    text = f"{event.service_name} is retired"
    return _ends("completed", "deploying", text, version=event.version)


# What an event changes on the row of an open intent. By type, not by ``match``: its classes are
# asked one after another, and each one of pydantic's takes 0.14 us to say no.
_CHANGES: dict[type[Event], Callable[[IntentRow, Any], dict[str, Any]]] = {
    IntentReprioritized: lambda row, e: {
        "priority": e.priority,
        "rank": rank_of(e.priority, row.raw_position),
    },
    IntentCancelled: lambda _, e: {
        "status": "cancelled",
        "outcome": f"cancelled: {e.reason}",
        "due": False,
    },
    IntentCompleted: _completed,
    # The override may have come between the decision and the end it was to prevent.
    IntentFailed: lambda row, e: (
        {"status": e.status, "outcome": e.reason} | _reopens(e.status, row.overridden)
    ),
    AlignmentAssessed: _assessed,
    DecisionMade: _decided,
    ApprovalRequested: _asked,
    ApprovalGranted: _granted,
    ApprovalRejected: lambda _, e: _ends(
        "rejected", "awaiting_approval", f"rejected by {e.approver}: {e.reason}"
    ),
    ApprovalExpired: lambda _, e: _ends(
        "expired", "awaiting_approval", "nobody approved it in time"
    ),
    DecisionOverridden: lambda row, e: _by_override(row, _overridden(e)),
    SpecDrafted: lambda _, e: {"status": "spec_generation", "questions": ()},
    SpecVerified: _rated,
    SpecOptimized: _rated,
    SpecNeedsDetail: lambda _, e: {"status": "needs_detail", "questions": e.questions},
    SpecAccepted: _accepted,
    BuildStarted: lambda _, e: {
        "status": "building",
        "build_id": e.build_id,
        "version": e.version,
    },
    ArtifactPackaged: lambda row, e: {
        "status": "deploying" if row.intent.auto_deploy else "awaiting_approval"
    },
    BuildApproved: lambda _, e: {"status": "building" if e.step == "build" else "deploying"},
    BuildFailed: lambda _, e: _ends("failed", "building", f"{e.step}: {e.reason}"),
    BuildCancelled: lambda _, e: _ends(
        "failed", "building", f"build cancelled by {e.by}: {e.reason}"
    ),
    DeploymentStarted: lambda _, e: {"status": "deploying", "version": e.version},
    DeploymentHealthy: _runs,
    DeploymentFailed: _not_deployed,
    DeploymentRolledBack: _not_deployed,
    DeploymentRetired: _retired,
}


def _timeline_keys(recorded: AnyRecorded) -> Iterable[str]:
    intent_id = intent_of(recorded)
    return (f"{intent_id}/{recorded.position:015d}",) if intent_id else ()


def _fold_timeline(_: TimelineRow | None, recorded: AnyRecorded, key: str) -> TimelineRow | None:
    event = recorded.event
    return made(
        TimelineRow,
        {
            "intent_id": key.rpartition("/")[0],
            "position": recorded.position,
            "type": event.short_type,
            "at": event.at,
            "actor": recorded.actor,
            "epoch": recorded.epoch,
            "summary": summary(event),
        },
    )


def summary(event: Event) -> str:
    """One line for people; "" when the type says it all."""
    describe = _SUMMARIES.get(type(event))
    if describe is not None:
        return describe(event)
    fields = event.__dict__
    return str(fields.get("reason", "") or fields.get("outcome", ""))


def _began(event: IntentQueued) -> str:
    intent = event.intent
    again = f", attempt {event.attempt}" if event.attempt > 1 else ""
    return f"{intent.service_name}, tier {intent.target_tier}, {intent.priority}{again}"


def _verdict(event: AlignmentAssessed) -> str:
    a = event.assessment
    why = a.usage.fallback_reason if a.usage else ""
    alone = f" (no verdict of the model: {why})" if why else ""
    return f"alignment {a.alignment_score:.2f}, {a.risk_level} risk, by {a.evaluator}{alone}"


def _scored(event: SpecVerified | SpecOptimized) -> str:
    return f"score {event.score.total:g}, {event.score.grade}"


def _tested(event: TestsPassed | TestsFailed) -> str:
    failed = event.failed if isinstance(event, TestsFailed) else 0
    return f"{event.passed} passed, {failed} failed in the sandbox ({event.sandbox})"


_SUMMARIES: dict[type[Event], Callable[[Any], str]] = {
    IntentQueued: _began,
    AlignmentAssessed: _verdict,
    DecisionMade: lambda e: f"{e.decision} by {e.policy_applied or 'no policy'}",
    ApprovalGranted: lambda e: f"by {e.approver}",
    ApprovalBound: lambda e: f"under the policies {e.bundle_digest[:12]}",
    ApprovalRejected: lambda e: f"by {e.approver}: {e.reason}",
    DecisionOverridden: lambda e: f"{e.decision} by {e.by}: {e.reason}",
    SpecVerified: _scored,
    SpecOptimized: _scored,
    SpecNeedsDetail: lambda e: " / ".join(e.questions),
    BuildStarted: lambda e: f"version {e.version}, attempt {e.attempt}",
    TestsPassed: _tested,
    TestsFailed: _tested,
    ArtifactPackaged: lambda e: f"{e.wheel}, sha256 {e.artifact_digest[:12]}",
    DeploymentStarted: lambda e: f"version {e.version} on port {e.port}",
    DeploymentHealthy: lambda e: e.url,
}


OPEN_RAW = Table(
    name="open_raw",
    version=1,
    subjects=("intents.>", "events.intent.>"),
    row=OpenRaw,
    events=(RawIntent, IntentQueued, IntentRefused),
    anew=(RawIntent, IntentQueued, IntentRefused),
    keys=_raw_keys,
    fold=_fold_raw,
    open=lambda row: True,
)
REFUSALS = Table(
    name="refusals",
    version=1,
    subjects=("events.intent.>",),
    row=Refusal,
    events=(IntentRefused,),
    keys=_refusal_keys,
    fold=_fold_refusal,
    once=True,
    columns=("intent_id", "code", "position"),
)
INTENTS = Table(
    name="intents",
    version=4,
    subjects=INTENT_SUBJECTS,
    row=IntentRow,
    keys=_intent_keys,
    fold=_fold_intent,
    columns=(
        "status",
        "open",
        "due",
        "priority",
        "tier",
        "rank",
        "raw_position",
    ),
    open=lambda row: row.open,
)
TIMELINE = Table(
    name="timeline",
    version=3,
    subjects=INTENT_SUBJECTS,
    row=TimelineRow,
    keys=_timeline_keys,
    fold=_fold_timeline,
    once=True,
    columns=("intent_id",),  # by key they are in the order of the log
    prefix="intent_id",
)
