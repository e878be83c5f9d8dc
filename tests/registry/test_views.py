"""Folding instances, leaders and services from events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.delivery_events import (
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
    ServiceDeregistered,
    ServiceRegistered,
)
from domain.event import Event
from domain.instance import (
    InstanceDied,
    InstancePromoted,
    LeadershipReleased,
    OutageBegan,
    OutageEnded,
)
from domain.recorded import Recorded
from domain.view import Table, apply
from projections.instances import GROUPS, Group
from projections.services import SERVICES, ServiceRow
from tests.registry.world import leads, ready, started

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def folded(table: Table[Any], *events: Event) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for position, event in enumerate(events, 1):
        rows = apply(
            table,
            rows,
            Recorded(position=position, event=event, subject=event.subject, id=str(position)),
        )
    return rows


def group(*events: Event) -> Group:
    found: Group = folded(GROUPS, *events)["g"]
    return found


def service(*events: Event) -> ServiceRow:
    found: ServiceRow = folded(SERVICES, *events)["s"]
    return found


def died(seat: int, *, was_leader: bool = False, planned: bool = False) -> InstanceDied:
    return InstanceDied(
        at=T0 + timedelta(seconds=5),
        service="g",
        instance=f"g-{seat}",
        reason="signal 9",
        was_leader=was_leader,
        planned=planned,
    )


def promoted(seat: int, epoch: int, failover_s: float | None) -> InstancePromoted:
    return InstancePromoted(
        at=T0, service="g", instance=f"g-{seat}", epoch=epoch, capacity=2, failover_s=failover_s
    )


def test_the_one_that_took_the_leadership_is_active_and_the_others_stand_by() -> None:
    found = group(started("g", 0), started("g", 1), ready("g", 0), ready("g", 1), leads("g", 1, 4))
    assert (found.role("g-0"), found.role("g-1"), found.epoch) == ("standby", "active", 4)
    assert [m.instance for m in found.running] == ["g-0", "g-1"]
    assert found.base_port == 8000


def test_a_failover_shows_who_fell_who_leads_and_how_long_it_took() -> None:
    found = group(
        *(started("g", n) for n in (0, 1)),
        leads("g", 0, 1),
        leads("g", 1, 2),
        died(0, was_leader=True),
        promoted(1, 2, 0.012),
    )
    assert (found.leader, found.role("g-0")) == ("g-1", "none")
    assert (found.failovers, found.restarts, found.last_failover_s) == (1, 1, 0.012)
    assert found.members["g-0"].died_of == "signal 9"


def test_a_fallen_leader_leaves_nobody_leading_until_the_next() -> None:
    found = group(started("g", 0), leads("g", 0, 1), died(0, was_leader=True))
    assert found.leader == ""
    reborn = started("g", 0, capacity=2)
    again = group(started("g", 0), leads("g", 0, 1), died(0, was_leader=True), reborn)
    member = again.members["g-0"]
    assert (member.state, member.capacity, member.starts, member.falls) == ("starting", 2, 2, 1)


def test_news_of_an_older_term_that_comes_late_changes_no_leader() -> None:
    late = LeadershipReleased(at=T0, service="g", instance="g-0", epoch=1, reason="stop")
    found = group(started("g", 0), leads("g", 0, 1), leads("g", 1, 2), late, promoted(0, 1, 1.0))
    assert (found.leader, found.failovers) == ("g-1", 0)


def test_a_planned_change_counts_as_a_switchover_and_not_as_a_fall() -> None:
    found = group(
        started("g", 0),
        leads("g", 0, 1),
        died(0, planned=True),
        leads("g", 1, 2),
        promoted(1, 2, None),
    )
    assert (found.switchovers, found.failovers, found.restarts) == (1, 0, 0)


def test_a_leader_that_ended_without_a_word_is_not_shown_as_leading_when_it_starts_again() -> None:
    later = started("g", 0, at=T0 + timedelta(hours=1))
    assert group(started("g", 0), leads("g", 0, 1), later).leader == ""


def deployment(version: str, build: str = "b") -> DeploymentStarted:
    return DeploymentStarted(
        at=T0,
        service_name="s",
        version=version,
        build_id=build,
        artifact_digest="d",
        provenance_digest="p",
        wheel="s.whl",
        port=8300,
        features=("x",),
    )


def healthy(version: str) -> DeploymentHealthy:
    return DeploymentHealthy(
        at=T0, service_name="s", version=version, url="http://h", checks=(), duration_s=1
    )


def registered(version: str) -> ServiceRegistered:
    return ServiceRegistered(
        at=T0, name="s", version=version, tier=2, port=8300, url="http://h", build_id="b"
    )


def test_a_healthy_deployment_asks_for_its_registration_and_a_registered_one_does_not() -> None:
    assert not service(deployment("1")).due
    asks = service(deployment("1"), healthy("1"))
    assert asks.due
    assert asks.wanted is not None
    assert (asks.wanted.port, asks.wanted.features) == (8300, ("x",))
    assert not service(deployment("1"), healthy("1"), registered("1")).due


def test_a_rolled_back_release_asks_for_the_one_before() -> None:
    back = DeploymentRolledBack(
        at=T0, service_name="s", version="2", to_version="1", by="x", reason="y"
    )
    found = service(
        deployment("1"), healthy("1"), deployment("2"), healthy("2"), registered("2"), back
    )
    assert found.wanted is not None
    assert (found.due, found.wanted.version) == (True, "1")


def test_a_part_of_this_system_that_goes_back_to_its_installed_source_wants_nothing() -> None:
    back = DeploymentRolledBack(at=T0, service_name="s", version="1", by="ann", reason="slow")
    found = service(deployment("1"), healthy("1"), registered("1"), back)
    assert (found.wanted, found.due, found.registered) == (None, False, True)


def test_a_retired_service_asks_to_be_removed_once() -> None:
    retired = DeploymentRetired(at=T0, service_name="s", version="1", by="ann", reason="done")
    until = (deployment("1"), healthy("1"), registered("1"), retired)
    assert service(*until).due
    assert not service(*until, ServiceDeregistered(at=T0, name="s", by="registry")).due


def test_what_a_person_removed_comes_back_only_with_a_new_deployment() -> None:
    by_hand = ServiceDeregistered(at=T0, name="s", by="ann")
    until = (deployment("1"), healthy("1"), registered("1"), by_hand)
    assert not service(*until).due
    assert service(*until, deployment("2"), healthy("2")).due


def test_a_lease_that_ran_out_is_a_failover_and_no_switchover() -> None:
    expired = leads("g", 1, 2).model_copy(update={"reason": "expired"})
    found = group(*(started("g", n) for n in (0, 1)), leads("g"), expired, promoted(1, 2, None))
    assert (found.failovers, found.switchovers) == (1, 0)


def test_an_open_outage_shows_since_when() -> None:  # a new leader of the registry ends it
    began = OutageBegan(at=T0, service="g", instance="", reason="no answer", since=T0)
    found = group(started("g", 0), began)
    assert (found.outage, found.outage_since) == ("no answer", T0)
    ended = OutageEnded(at=T0, service="g", instance="", duration_s=3)
    assert group(started("g", 0), began, ended).outage_since is None
