"""What the factory shows: SPECs, pipelines (intents from their clearance on), names and ports.

Source      ``events.intent.>``, ``events.governance.>``, ``events.spec.>``, ``events.build.>``,
            ``events.deployment.>``, ``events.service.>``, ``events.port.>``
Rebuild     fold from position 0
"""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from domain.delivery_events import (
    ArtifactPackaged,
    BuildFailed,
    BuildStarted,
    CodeGenerated,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRolledBack,
    DeploymentStarted,
    PortReleased,
    PortReserved,
    Score,
    ServiceDeregistered,
    ServiceRegistered,
    SpecAccepted,
    SpecDrafted,
    SpecNeedsDetail,
    SpecOptimized,
    SpecVerified,
    TestsFailed,
    TestsPassed,
)
from domain.event import Value
from domain.governance import cleared, fold
from domain.governance_events import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    DecisionMade,
    DecisionOverridden,
    GovernanceEvent,
)
from domain.intent import (
    PRIORITIES,
    Intent,
    IntentCancelled,
    IntentCompleted,
    IntentFailed,
    IntentQueued,
    IntentReprioritized,
)
from domain.recorded import Recorded
from domain.view import Table, updated

_POSITIONS = 10**15  # more than any log holds: priority first, then the order of arrival
_ENDED = (IntentCancelled, IntentCompleted, IntentFailed)
_DECIDED = (
    DecisionMade,
    ApprovalRequested,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalExpired,
    DecisionOverridden,
)
_SPEC = (SpecDrafted, SpecVerified, SpecOptimized, SpecAccepted, SpecNeedsDetail)

Stage = Literal["governance", "spec", "needs_detail", "build", "deploy", "done", "ended"]


# --- pipelines ----------------------------------------------------------------------------------


class PipelineRow(Value):
    """One attempt of an intent on its way to a running service. The key is the intent's id.

    ``open``: cleared, and its SPEC is still to be made: the factory's open work.
    """

    intent_id: str
    service_name: str
    intent: Intent
    attempt: int
    position: int  # of its IntentQueued
    rank: int
    governance: tuple[GovernanceEvent, ...] = ()
    cleared: bool = False
    open: bool = False
    stage: Stage = "governance"
    status: str = "waits for its decision"
    score: float | None = None
    questions: tuple[str, ...] = ()
    build_id: str = ""
    version: str = ""
    url: str = ""
    since: AwareDatetime  # when it entered this stage
    started_at: AwareDatetime
    ended: bool = False


_STEPS: dict[type, tuple[Stage, str]] = {
    SpecDrafted: ("spec", "SPEC drafted"),
    SpecVerified: ("spec", "SPEC verified"),
    SpecOptimized: ("spec", "SPEC improved"),
    SpecAccepted: ("build", "SPEC accepted"),
    SpecNeedsDetail: ("needs_detail", "needs detail from a person"),
    BuildStarted: ("build", "building"),
    CodeGenerated: ("build", "code generated"),
    TestsPassed: ("build", "tests passed"),
    TestsFailed: ("build", "tests failed"),
    ArtifactPackaged: ("deploy", "packaged"),
    BuildFailed: ("build", "build failed"),
    DeploymentStarted: ("deploy", "deploying"),
    DeploymentHealthy: ("done", "healthy"),
    DeploymentFailed: ("deploy", "deployment failed"),
    DeploymentRolledBack: ("deploy", "rolled back"),
}


def _pipeline_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    intent_id = recorded.event.intent_id
    return (intent_id,) if intent_id else ()


def _fold_pipeline(row: PipelineRow | None, recorded: Recorded[Any], _: str) -> PipelineRow | None:
    event = recorded.event
    if isinstance(event, IntentQueued):
        return _queued(row, event, recorded.position)
    if row is None:
        return None
    if row.ended:  # an override opens it again: the next attempt has to know
        heard = (*row.governance, event) if isinstance(event, DecisionOverridden) else None
        return row.model_copy(update={"governance": heard}) if heard else row
    if isinstance(event, IntentReprioritized):
        rank = PRIORITIES.index(event.priority) * _POSITIONS + row.position
        return updated(row, {"rank": rank})
    if isinstance(event, _ENDED):
        return _ended(row, event)
    if isinstance(event, _DECIDED):
        return _decided(row, event)
    return _stepped(row, event)


def _queued(row: PipelineRow | None, event: IntentQueued, position: int) -> PipelineRow:
    made = PipelineRow(
        intent_id=event.intent_id,
        service_name=event.intent.service_name,
        intent=event.intent,
        attempt=event.attempt,
        position=position,
        rank=PRIORITIES.index(event.intent.priority) * _POSITIONS + position,
        governance=row.governance if row else (),  # an override outlives the attempt
        since=event.at,
        started_at=event.at,
    )
    return made


def _decided(row: PipelineRow, event: GovernanceEvent) -> PipelineRow:
    events = (*row.governance, event)
    now_cleared = cleared(fold(events), attempt=row.attempt)
    changes: dict[str, Any] = {"governance": events, "cleared": now_cleared}
    if now_cleared and row.stage == "governance":
        changes |= {"stage": "spec", "status": "cleared", "since": event.at}
        changes |= {"open": row.intent.kind != "retire"}
    return updated(row, changes)


def _ended(row: PipelineRow, event: Any) -> PipelineRow:
    status, stage = "completed", "done"
    if isinstance(event, IntentCancelled):
        status, stage = f"cancelled: {event.reason}", "ended"
    elif isinstance(event, IntentFailed):
        status, stage = f"{event.status}: {event.reason}", "ended"
    update = {"ended": True, "open": False, "stage": stage, "status": status, "since": event.at}
    if isinstance(event, IntentCompleted):
        update |= {"url": event.url or row.url, "version": event.version or row.version}
    return updated(row, update)


def _stepped(row: PipelineRow, event: Any) -> PipelineRow:
    stage, status = _STEPS[type(event)]
    if isinstance(event, _SPEC) and event.attempt != row.attempt:
        return row
    changes: dict[str, Any] = {"status": status, "open": False}
    if stage != row.stage:
        changes |= {"stage": stage, "since": event.at}
    if isinstance(event, SpecNeedsDetail):
        changes["questions"] = event.questions
    for name in ("build_id", "version", "url"):
        if getattr(event, name, ""):
            changes[name] = getattr(event, name)
    if isinstance(event, SpecVerified | SpecOptimized):
        changes |= {"score": event.score.total, "questions": ()}
    return updated(row, changes)


PIPELINES: Table[PipelineRow] = Table(
    name="pipelines",
    version=3,
    subjects=(
        "events.intent.>",
        "events.governance.>",
        "events.spec.>",
        "events.build.>",
        "events.deployment.>",
    ),
    row=PipelineRow,
    events=(IntentQueued, IntentReprioritized, *_ENDED, *_DECIDED, *_STEPS),
    keys=_pipeline_keys,
    fold=_fold_pipeline,
    columns=("rank", "open", "stage", "ended", "position", "service_name"),
)


# --- specs --------------------------------------------------------------------------------------


class SpecStep(Value):
    """One event of a SPEC's life."""

    position: int
    at: AwareDatetime
    event: str
    digest: str = ""
    score: float | None = None
    changes: tuple[str, ...] = ()
    diff: str = ""


class SpecRow(Value):
    """The newest SPEC of an intent; ``document`` is empty while there is none."""

    intent_id: str
    attempt: int
    service_name: str
    status: Literal["drafted", "accepted", "needs_detail"]
    document: dict[str, Any] = Field(default_factory=dict)
    accepted: dict[str, Any] = Field(default_factory=dict)  # the last one that passed the gate
    digest: str = ""
    version: str = ""
    drafter: str = ""
    notes: tuple[str, ...] = ()
    score: Score | None = None
    total: float = -1.0  # of the score, to sort by; -1: none
    questions: tuple[str, ...] = ()
    history: tuple[SpecStep, ...] = ()
    last_position: int  # on its subject: the condition for the next change
    at: AwareDatetime


def _spec_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.intent_id,)


def _fold_spec(row: SpecRow | None, recorded: Recorded[Any], _: str) -> SpecRow | None:
    event = recorded.event
    if row is None or event.attempt > row.attempt:
        row = SpecRow(
            intent_id=event.intent_id,
            attempt=event.attempt,
            service_name=getattr(event, "service_name", "") or (row.service_name if row else ""),
            status="drafted",
            accepted=row.accepted if row else {},
            history=row.history if row else (),
            last_position=recorded.position,
            at=event.at,
        )
    if event.attempt < row.attempt:
        return row
    step = SpecStep(
        position=recorded.position,
        at=event.at,
        event=event.type,
        digest=getattr(event, "digest", ""),
        score=_total(event),
        changes=getattr(event, "changes", ()),
        diff=getattr(event, "diff", ""),
    )
    common = {
        "history": (*row.history, step),
        "last_position": recorded.position,
        "at": event.at,
    }
    changes = common | _changes(event)
    if isinstance(event, SpecAccepted):
        changes["accepted"] = row.document
    return updated(row, changes)


def _total(event: Any) -> float | None:
    score = getattr(event, "score", None)
    return score.total if isinstance(score, Score) else score


def _changes(event: Any) -> dict[str, Any]:
    match event:
        case SpecDrafted():
            return _document(event) | {
                "drafter": event.drafter,
                "notes": event.notes,
                "status": "drafted",
                "questions": (),
            }
        case SpecVerified():
            return {"score": event.score, "total": event.score.total}
        case SpecOptimized():
            return _document(event) | {"score": event.score, "total": event.score.total}
        case SpecAccepted():
            return {"status": "accepted", "questions": ()}
        case SpecNeedsDetail():
            named = {"service_name": event.service_name} if event.service_name else {}
            return {"status": "needs_detail", "questions": event.questions} | named
        case _:
            return {}


def _document(event: SpecDrafted | SpecOptimized) -> dict[str, Any]:
    return {
        "document": event.document,
        "digest": event.digest,
        "service_name": event.document["service_name"],
        "version": event.document.get("version", "1.0.0"),
    }


SPECS: Table[SpecRow] = Table(
    name="specs",
    version=1,
    subjects=("events.spec.>",),
    row=SpecRow,
    events=_SPEC,
    keys=_spec_keys,
    fold=_fold_spec,
    columns=("status", "service_name", "total", "last_position"),
)


# --- names and ports in use ---------------------------------------------------------------------


class InUse(Value):
    """A registered service name, or a reserved base port (the key in both cases)."""

    kind: Literal["service", "port"]
    service_name: str
    base: int = 0
    intent_id: str = ""  # whose SPEC the running service was built from


def _in_use_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    event = recorded.event
    named = isinstance(event, ServiceRegistered | ServiceDeregistered)
    return (event.name if named else str(event.base),)


def _fold_in_use(row: InUse | None, recorded: Recorded[Any], _: str) -> InUse | None:
    event = recorded.event
    if isinstance(event, ServiceRegistered):
        return InUse(kind="service", service_name=event.name, intent_id=event.intent_id)
    if isinstance(event, PortReserved):
        return InUse(kind="port", service_name=event.service_name, base=event.base)
    return None


IN_USE: Table[InUse] = Table(
    name="names_and_ports",
    version=1,
    subjects=("events.service.>", "events.port.>"),
    row=InUse,
    events=(ServiceRegistered, ServiceDeregistered, PortReserved, PortReleased),
    keys=_in_use_keys,
    fold=_fold_in_use,
    columns=("kind",),
)

TABLES: tuple[Table[Any], ...] = (PIPELINES, SPECS, IN_USE)
__all__ = ["IN_USE", "PIPELINES", "SPECS", "TABLES", "PipelineRow", "SpecRow"]
