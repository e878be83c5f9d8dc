"""What the launcher should run: for each deployed service the release that is wanted now.

Rebuild  by folding ``events.deployment.>`` from position 0.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain.delivery_events import (
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
)
from domain.recorded import Recorded
from domain.view import Table, updated

RELEASES_KEPT = 10


class Desired(BaseModel):
    """``wanted`` is a key of ``releases``; "" means that nothing of this service should run."""

    model_config = ConfigDict(frozen=True)

    service_name: str
    wanted: str = ""
    releases: dict[str, DeploymentStarted] = {}
    position: int = 0

    @property
    def release(self) -> DeploymentStarted | None:
        return self.releases.get(self.wanted)


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.service_name,)


def _fold(row: Desired | None, recorded: Recorded[Any], key: str) -> Desired | None:
    row = row or Desired(service_name=key)
    if recorded.position <= row.position:
        return row
    changes: dict[str, Any] = {"position": recorded.position}
    match recorded.event:
        case DeploymentStarted() as started:
            kept = {v: r for v, r in row.releases.items() if v != started.version}
            newest = list(kept.items())[-(RELEASES_KEPT - 1) :]
            changes |= {
                "releases": {**dict(newest), started.version: started},
                "wanted": started.version,
            }
        case DeploymentRolledBack(version=version, to_version=back):
            # A release that is no longer wanted may be given up late: that changes nothing.
            if row.wanted == version:
                changes["wanted"] = back if back in row.releases else ""
        case DeploymentRetired():
            changes["wanted"] = ""
    return updated(row, changes)


DESIRED = Table(
    name="desired",
    version=1,
    subjects=("events.deployment.>",),
    row=Desired,
    events=(DeploymentStarted, DeploymentRolledBack, DeploymentRetired),
    keys=_keys,
    fold=_fold,
)
