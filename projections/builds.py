"""Builds: every attempt from its SPEC to a running service, each step with its place in the log.

Source      ``events.spec.>``, ``events.build.>``, ``events.deployment.>``
Rebuild     fold from position 0
"""

from typing import Any, Literal

from pydantic import AwareDatetime

from domain.build import build_id
from domain.delivery_events import (
    ArtifactPackaged,
    BuildApproved,
    BuildCancelled,
    BuildFailed,
    BuildStarted,
    CodeGenerated,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRolledBack,
    DeploymentStarted,
    SpecAccepted,
    SpecDrafted,
    SpecOptimized,
    TestsFailed,
    TestsPassed,
)
from domain.event import Event, Value
from domain.recorded import Recorded
from domain.sandbox import SandboxLevel
from domain.view import Table, updated

Status = Literal[
    "specified",  # its SPEC is not accepted yet
    "waiting",  # for capacity, or for a person (auto_build false)
    "building",
    "packaged",  # waits to be deployed, or for a person (auto_deploy false)
    "deploying",
    "healthy",
    "failed",
    "cancelled",
    "rolled_back",
]
ENDED: frozenset[Status] = frozenset(("failed", "cancelled", "rolled_back"))
_SPEC = (SpecDrafted, SpecOptimized, SpecAccepted)
_BUILD = (
    BuildStarted,
    CodeGenerated,
    TestsPassed,
    TestsFailed,
    ArtifactPackaged,
    BuildFailed,
    BuildCancelled,
    BuildApproved,
)
_DEPLOYMENT = (DeploymentStarted, DeploymentHealthy, DeploymentFailed, DeploymentRolledBack)


class BuildStep(Value):
    """One event of a build's life. ``duration_s`` is None where the step took no time."""

    position: int
    at: AwareDatetime
    event: str
    actor: str
    epoch: int
    summary: str = ""
    duration_s: float | None = None


class BuildRow(Value):
    """One build. ``claimed``: started by a leader; its version is settled then."""

    build_id: str
    intent_id: str
    attempt: int  # the intent's
    service_name: str = ""
    version: str = ""
    status: Status = "specified"
    spec_digest: str = ""
    claimed: bool = False
    approved: tuple[str, ...] = ()
    tests_passed: int | None = None
    tests_failed: int | None = None
    sandbox: SandboxLevel | None = None
    files: int | None = None
    lines: int | None = None
    artifact_digest: str = ""
    wheel: str = ""
    sbom_digest: str = ""
    provenance_digest: str = ""
    key_id: str = ""
    log_digest: str = ""
    port: int | None = None
    url: str = ""
    reason: str = ""
    steps: tuple[BuildStep, ...] = ()
    position: int  # of its first event
    at: AwareDatetime  # of its last


def _keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    event = recorded.event
    if isinstance(event, _SPEC):
        return (build_id(event.intent_id, event.attempt),)
    return (event.build_id,) if event.build_id else ()


def _fold(row: BuildRow | None, recorded: Recorded[Any], key: str) -> BuildRow | None:
    event = recorded.event
    if row is None:
        if not isinstance(event, _SPEC):
            return None  # a build without a SPEC is not ours
        row = BuildRow(
            build_id=key,
            intent_id=event.intent_id,
            attempt=event.attempt,
            position=recorded.position,
            at=event.at,
        )
    if row.status in ENDED:
        return row  # the first end counts
    changes = _changes(row, event)
    if not isinstance(event, SpecDrafted | SpecOptimized):
        changes |= {"steps": (*row.steps, _step(recorded))}
    return updated(row, {**changes, "at": event.at})


def _step(recorded: Recorded[Any]) -> BuildStep:
    event = recorded.event
    return BuildStep(
        position=recorded.position,
        at=event.at,
        event=event.short_type,
        actor=recorded.actor,
        epoch=recorded.epoch,
        summary=_summary(event),
        duration_s=getattr(event, "duration_s", None),
    )


def _summary(event: Event) -> str:
    match event:
        case BuildStarted(version=version, attempt=attempt):
            return f"version {version}, attempt {attempt}"
        case CodeGenerated(files=files, lines=lines):
            return f"{files} files, {lines} lines"
        case TestsPassed(passed=passed, sandbox=sandbox):
            return f"{passed} passed, sandbox {sandbox}"
        case TestsFailed(passed=passed, failed=failed, sandbox=sandbox):
            return f"{failed} failed, {passed} passed, sandbox {sandbox}"
        case ArtifactPackaged(wheel=wheel, size_bytes=size):
            return f"{wheel}, {size} bytes"
        case BuildApproved(by=by, step=step):
            return f"{step} approved by {by}"
        case DeploymentHealthy(url=url):
            return url
        case _:
            return str(getattr(event, "reason", ""))


def _changes(row: BuildRow, event: Event) -> dict[str, Any]:
    if isinstance(event, _SPEC):
        return _of_spec(event)
    if isinstance(event, _DEPLOYMENT):
        return _of_deployment(row, event)
    return _of_build(row, event)


def _of_spec(event: SpecDrafted | SpecOptimized | SpecAccepted) -> dict[str, Any]:
    if isinstance(event, SpecAccepted):
        return {"status": "waiting", "spec_digest": event.digest}
    return {"service_name": str(event.document.get("service_name", ""))}


def _of_build(row: BuildRow, event: Event) -> dict[str, Any]:
    match event:
        case BuildStarted(service_name=name, version=version):
            status = "building" if row.status in ("specified", "waiting") else row.status
            return {"status": status, "service_name": name, "version": version, "claimed": True}
        case CodeGenerated(files=files, lines=lines):
            return {"files": files, "lines": lines}
        case TestsPassed() | TestsFailed():
            return {
                "tests_passed": event.passed,
                "tests_failed": getattr(event, "failed", 0),
                "sandbox": event.sandbox,
                "log_digest": event.log_digest,
            }
        case ArtifactPackaged():
            named = ("artifact_digest", "wheel", "sbom_digest", "provenance_digest", "key_id")
            return {"status": "packaged"} | {name: getattr(event, name) for name in named}
        case BuildFailed(step=step, reason=reason):
            return {"status": "failed", "reason": f"{step}: {reason}"}
        case BuildCancelled(by=by, reason=reason):
            return {"status": "cancelled", "reason": f"cancelled by {by}: {reason}"}
        case BuildApproved(step=step):
            return {"approved": (*row.approved, step)}
        case _:
            return {}


def _of_deployment(row: BuildRow, event: Event) -> dict[str, Any]:
    match event:
        case DeploymentStarted(port=port):
            return {"status": "deploying", "port": port}
        case DeploymentHealthy(url=url):
            return {"status": "healthy", "url": url}
        case DeploymentFailed(reason=reason):
            return {"reason": reason}
        case DeploymentRolledBack(reason=reason):
            return {"status": "rolled_back", "reason": row.reason or reason}
        case _:
            return {}


BUILDS: Table[BuildRow] = Table(
    name="builds",
    version=1,
    subjects=("events.spec.>", "events.build.>", "events.deployment.>"),
    row=BuildRow,
    events=_SPEC + _BUILD + _DEPLOYMENT,
    keys=_keys,
    fold=_fold,
    columns=("status", "service_name", "intent_id", "position", "claimed"),
)
