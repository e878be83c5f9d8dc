"""Registered services, what their deployments ask of the registry, and the intents in flight.

Tables      ``SERVICES`` (one row a service: what is registered and what should be),
            ``IN_FLIGHT`` (open intents, one line each, for the description of the system).
Rebuild     fold from position 0.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.delivery_events import (
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    ServiceDegraded,
    ServiceDeregistered,
    ServiceRecovered,
    ServiceRegistered,
)
from domain.intent import IntentCancelled, IntentCompleted, IntentFailed, IntentQueued
from domain.recorded import Recorded
from domain.view import Table, updated

_RELEASES_KEPT = 5
Health = Literal["active", "degraded"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Wanted(_Row):
    """A release that should be registered. ``position`` is that of the event that proved it."""

    version: str
    tier: int
    port: int  # base, before the host's port shift
    features: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    intent_id: str = ""
    build_id: str = ""
    position: int = 0


class ServiceRow(_Row):
    """``registered`` false: known from its deployments only. ``due``: the registry has to act."""

    name: str
    registered: bool = False
    version: str = ""
    tier: int = 2
    port: int = 0  # base, before the host's port shift, unless it is external
    url: str = ""  # as registered
    features: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    builtin: bool = False
    external: bool = False  # registered by itself: neither built in nor deployed here
    intent_id: str = ""
    build_id: str = ""
    status: Health = "active"
    reason: str = ""  # why it is degraded
    status_since: AwareDatetime | None = None
    registered_at: AwareDatetime | None = None
    wanted: Wanted | None = None
    retired_position: int = 0  # of the DeploymentRetired that asks for the removal
    due: bool = False
    releases: dict[str, Wanted] = {}
    stream_position: int = 0  # last on ``events.service.<name>``
    position: int = 0


_SERVICE = (ServiceRegistered, ServiceDeregistered, ServiceDegraded, ServiceRecovered)
_DEPLOYMENT = (DeploymentStarted, DeploymentHealthy, DeploymentRolledBack, DeploymentRetired)


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    event = recorded.event
    return (event.name if isinstance(event, _SERVICE) else event.service_name,)


def _fold(row: ServiceRow | None, recorded: Recorded[Any], key: str) -> ServiceRow | None:
    before = row or ServiceRow(name=key)
    event = recorded.event
    if isinstance(event, _SERVICE):
        changed = _of_service(before, event)
        changed["stream_position"] = recorded.position
    else:
        changed = _of_deployment(before, event, recorded.position)
    after = updated(before, {**changed, "position": recorded.position})
    return updated(after, {"due": _due(after)})


def _of_service(row: ServiceRow, event: Any) -> dict[str, Any]:
    match event:
        case ServiceRegistered():
            return {
                **event.model_dump(exclude={"type", "at", "name"}),
                "registered": True,
                "external": not (event.builtin or event.build_id or event.intent_id),
                "registered_at": event.at,
                "status": "active",
                "reason": "",
                "status_since": event.at,
            }
        case ServiceDeregistered():
            return {"registered": False, "retired_position": 0}
        case ServiceDegraded(reason=reason):
            since = event.at if row.status != "degraded" else row.status_since
            return {"status": "degraded", "reason": reason, "status_since": since}
        case _:
            return {"status": "active", "reason": "", "status_since": event.at}


def _of_deployment(row: ServiceRow, event: Any, position: int) -> dict[str, Any]:
    match event:
        case DeploymentStarted():
            kept = {v: r for v, r in row.releases.items() if v != event.version}
            newest = dict(list(kept.items())[-(_RELEASES_KEPT - 1) :])
            return {"releases": {**newest, event.version: _release(event)}}
        case DeploymentHealthy(version=version):
            return _wants(row, version, position)
        case DeploymentRolledBack(to_version=version) if version:
            return _wants(row, version, position)
        case DeploymentRolledBack(version=version):
            # A first release: given up before it was wanted, or a part of this system whose
            # installed source runs again, which the registry then asks what it is.
            given_up = row.wanted is not None and row.wanted.version == version
            return {"wanted": None} if given_up else {}
        case _:
            return {"wanted": None, "retired_position": position if row.registered else 0}


def _release(event: DeploymentStarted) -> Wanted:
    return Wanted(
        version=event.version,
        tier=event.tier,
        port=event.port,
        features=event.features,
        dependencies=event.dependencies,
        intent_id=event.intent_id,
        build_id=event.build_id,
    )


def _wants(row: ServiceRow, version: str, position: int) -> dict[str, Any]:
    release = row.releases.get(version)
    if release is None:
        return {}
    wanted = updated(release, {"position": position})
    return {"wanted": wanted, "retired_position": 0}


def _due(row: ServiceRow) -> bool:
    if row.wanted is None:
        return row.registered and row.retired_position > 0
    same = (row.version, row.port, row.build_id) == (
        row.wanted.version,
        row.wanted.port,
        row.wanted.build_id,
    )
    # A service that somebody deregistered by hand stays so until its next deployment.
    removed = not row.registered and row.stream_position > row.wanted.position
    return not removed and not (row.registered and same)


SERVICES = Table(
    name="services",
    version=2,
    subjects=("events.service.>", "events.deployment.>"),
    row=ServiceRow,
    events=_SERVICE + _DEPLOYMENT,
    keys=_keys,
    fold=_fold,
    columns=("registered", "due", "tier", "status"),
)


class InFlight(_Row):
    """An intent that has not ended."""

    intent_id: str
    service_name: str
    kind: str
    tier: int
    priority: str
    submitted_by: str
    attempt: int
    queued_at: AwareDatetime
    position: int


def _flight_keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.intent_id,)


def _fold_flight(_: InFlight | None, recorded: Recorded[Any], key: str) -> InFlight | None:
    event = recorded.event
    if not isinstance(event, IntentQueued):
        return None
    intent = event.intent
    return InFlight(
        intent_id=key,
        service_name=intent.service_name,
        kind=intent.kind,
        tier=intent.target_tier,
        priority=intent.priority,
        submitted_by=intent.submitted_by,
        attempt=event.attempt,
        queued_at=event.at,
        position=recorded.position,
    )


IN_FLIGHT = Table(
    name="in_flight",
    version=1,
    subjects=("events.intent.>",),
    row=InFlight,
    events=(IntentQueued, IntentCompleted, IntentFailed, IntentCancelled),
    keys=_flight_keys,
    fold=_fold_flight,
    columns=("position",),
)
