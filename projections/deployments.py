"""Deployments: which version of each service runs, which ports it holds.

Source      ``events.deployment.>``, ``events.port.>``
Rebuild     fold from position 0
"""

from typing import Any, Literal

from pydantic import AwareDatetime

from domain.delivery_events import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    PortReleased,
    PortReserved,
)
from domain.event import Value
from domain.recorded import Recorded
from domain.view import Table, updated

DeploymentStatus = Literal["deploying", "healthy", "failed", "retired"]


class Release(Value):
    """One version of a service that was rolled out."""

    version: str
    build_id: str
    intent_id: str
    status: Literal["deploying", "healthy", "rolled_back", "retired"] = "deploying"
    position: int
    at: AwareDatetime


class DeploymentRow(Value):
    """One service. ``version`` is the one that should run, "" when none; ``port`` without shift."""

    service_name: str
    version: str = ""
    status: DeploymentStatus = "deploying"
    port: int | None = None
    url: str = ""
    build_id: str = ""
    intent_id: str = ""
    reason: str = ""
    checks: tuple[str, ...] = ()
    releases: tuple[Release, ...] = ()
    position: int  # of its last event
    at: AwareDatetime


_EVENTS = (
    DeploymentStarted,
    DeploymentHealthy,
    DeploymentFailed,
    DeploymentRolledBack,
    DeploymentRetired,
)


def _keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (recorded.event.service_name,)


def _fold(row: DeploymentRow | None, recorded: Recorded[Any], key: str) -> DeploymentRow | None:
    event: DeploymentEvent = recorded.event
    row = row or DeploymentRow(service_name=key, position=recorded.position, at=event.at)
    changes = _changes(row, recorded)
    return updated(row, {**changes, "position": recorded.position, "at": event.at})


def _changes(row: DeploymentRow, recorded: Recorded[Any]) -> dict[str, Any]:
    match recorded.event:
        case DeploymentStarted() as event:
            release = Release(
                version=event.version,
                build_id=event.build_id,
                intent_id=event.intent_id,
                position=recorded.position,
                at=event.at,
            )
            return {
                "version": event.version,
                "status": "deploying",
                "port": event.port,
                "build_id": event.build_id,
                "intent_id": event.intent_id,
                "reason": "",
                "releases": (*row.releases, release),
            }
        case DeploymentHealthy(version=version, url=url, checks=checks):
            if version != row.version:
                return {}
            proven = _marked(row, version, "healthy")
            return {"status": "healthy", "url": url, "checks": checks, "releases": proven}
        case DeploymentFailed(version=version, reason=reason):
            return {"reason": reason} if version == row.version else {}
        case DeploymentRolledBack() as event:
            return _rolled_back(row, event)
        case DeploymentRetired(version=version, reason=reason):
            retired = _marked(row, version, "retired")
            return {"status": "retired", "version": "", "port": None, "url": ""} | {
                "reason": reason,
                "releases": retired,
            }
        case _:
            return {}


def _rolled_back(row: DeploymentRow, event: DeploymentRolledBack) -> dict[str, Any]:
    if event.version != row.version:
        return {}
    releases = _marked(row, event.version, "rolled_back")
    back = next((r for r in releases if r.version == event.to_version), None)
    if back is None:
        return {"status": "failed", "version": "", "port": None, "url": ""} | {
            "reason": row.reason or event.reason,
            "releases": releases,
        }
    return {
        "status": "healthy",
        "version": back.version,
        "build_id": back.build_id,
        "intent_id": back.intent_id,
        "reason": f"rolled back from {event.version}: {event.reason}",
        "releases": releases,
    }


def _marked(row: DeploymentRow, version: str, status: str) -> tuple[Release, ...]:
    return tuple(
        updated(release, {"status": status}) if release.version == version else release
        for release in row.releases
    )


DEPLOYMENTS: Table[DeploymentRow] = Table(
    name="deployments",
    version=1,
    subjects=("events.deployment.>",),
    row=DeploymentRow,
    events=_EVENTS,
    keys=_keys,
    fold=_fold,
    columns=("status", "position"),
)


# --- ports --------------------------------------------------------------------------------------


class PortRow(Value):
    """A base port in use. ``position``: of the reservation, the condition for the next change."""

    base: int
    service_name: str
    position: int


def _port_keys(recorded: Recorded[Any]) -> tuple[str, ...]:
    return (str(recorded.event.base),)


def _fold_port(row: PortRow | None, recorded: Recorded[Any], _: str) -> PortRow | None:
    event = recorded.event
    if isinstance(event, PortReserved):
        return PortRow(base=event.base, service_name=event.service_name, position=recorded.position)
    return None


PORTS: Table[PortRow] = Table(
    name="ports",
    version=1,
    subjects=("events.port.>",),
    row=PortRow,
    events=(PortReserved, PortReleased),
    keys=_port_keys,
    fold=_fold_port,
    columns=("service_name",),
)
