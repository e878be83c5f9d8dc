"""Which release the launcher should run, folded from the deployments."""

from datetime import UTC, datetime

from domain.delivery_events import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
)
from domain.recorded import Recorded
from domain.view import apply
from projections.desired import DESIRED, RELEASES_KEPT, Desired

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def started(version: str) -> DeploymentStarted:
    return DeploymentStarted(
        at=T0,
        service_name="revenue",
        version=version,
        artifact_digest=f"a{version}",
        provenance_digest=f"p{version}",
        wheel=f"revenue-{version}.whl",
        port=8300,
    )


def rolled_back(version: str, to_version: str = "") -> DeploymentRolledBack:
    return DeploymentRolledBack(
        at=T0,
        service_name="revenue",
        version=version,
        to_version=to_version,
        by="build-executor",
        reason="not healthy",
    )


def wanted(*events: DeploymentEvent) -> str:
    rows: dict[str, Desired] = {}
    for position, event in enumerate(events, 1):
        recorded = Recorded(position=position, event=event, subject=event.subject, id=str(position))
        rows = apply(DESIRED, rows, recorded)
        assert apply(DESIRED, rows, recorded) == rows  # delivered again
    return rows["revenue"].wanted


def test_a_started_deployment_is_wanted_at_once_so_that_its_health_can_be_proven() -> None:
    assert wanted(started("1")) == "1"
    assert wanted(started("1"), started("2")) == "2"


def test_health_and_failure_alone_change_nothing() -> None:
    healthy = DeploymentHealthy(
        at=T0, service_name="revenue", version="1", url="http://x", checks=(), duration_s=1
    )
    failed = DeploymentFailed(at=T0, service_name="revenue", version="1", reason="slow")
    assert wanted(started("1"), healthy, failed) == "1"


def test_a_rollback_returns_to_the_version_before_or_to_nothing() -> None:
    assert wanted(started("1"), started("2"), rolled_back("2", "1")) == "1"
    assert wanted(started("1"), rolled_back("1")) == ""


def test_a_late_rollback_of_a_version_that_is_no_longer_wanted_changes_nothing() -> None:
    assert wanted(started("1"), started("2"), rolled_back("1")) == "2"


def test_a_retired_service_is_not_wanted() -> None:
    retired = DeploymentRetired(at=T0, service_name="revenue", version="1", by="ann", reason="old")
    assert wanted(started("1"), retired) == ""


def test_only_so_many_releases_are_kept() -> None:
    rows: dict[str, Desired] = {}
    for position in range(1, 30):
        event = started(str(position))
        recorded = Recorded(position=position, event=event, subject=event.subject, id=str(position))
        rows = apply(DESIRED, rows, recorded)
    assert len(rows["revenue"].releases) == RELEASES_KEPT
    assert rows["revenue"].release == started("29")
