"""Which version runs, and what it goes back to."""

from datetime import UTC, datetime

from domain.delivery_events import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
)
from domain.deployment import (
    INITIAL,
    Begin,
    Command,
    GiveUp,
    GoBack,
    Prove,
    Retire,
    State,
    decide,
    evolve,
    overlapping,
)
from domain.errors import IllegalTransition, NotFound
from tests.support.spec import Decider

T0 = datetime(2030, 1, 1, tzinfo=UTC)
service: Decider[Command, State, DeploymentEvent] = Decider(INITIAL, evolve, decide)


def started(version: str, replaces: str = "") -> DeploymentStarted:
    return DeploymentStarted(
        at=T0,
        service_name="s",
        version=version,
        artifact_digest="a",
        provenance_digest="p",
        wheel="w",
        port=8300,
        replaces=replaces,
    )


def healthy(version: str) -> DeploymentHealthy:
    return DeploymentHealthy(
        at=T0, service_name="s", version=version, url="u", checks=(), duration_s=1.0
    )


def failed(version: str) -> DeploymentFailed:
    return DeploymentFailed(at=T0, service_name="s", version=version, reason="dark")


def back(version: str, to: str, by: str = "executor") -> DeploymentRolledBack:
    return DeploymentRolledBack(
        at=T0, service_name="s", version=version, to_version=to, by=by, reason="dark"
    )


def give_up(version: str) -> GiveUp:
    return GiveUp(service_name="s", version=version, by="executor", reason="dark", at=T0)


def go_back(version: str) -> GoBack:
    return GoBack(service_name="s", version=version, by="ann", reason="dark", at=T0)


FIRST = (started("1.0.0"), healthy("1.0.0"))
SECOND = (*FIRST, started("1.1.0", "1.0.0"), healthy("1.1.0"))


def test_the_first_version_replaces_nothing() -> None:
    service.given().when(Begin(event=started("1.0.0"))).then(started("1.0.0"))


def test_an_upgrade_names_what_it_replaces() -> None:
    service.given(*FIRST).when(Begin(event=started("1.1.0"))).then(started("1.1.0", "1.0.0"))


def test_two_versions_are_not_rolled_out_at_once() -> None:
    service.given(started("1.0.0")).when(Begin(event=started("1.1.0"))).then_raises(
        IllegalTransition, match="still being rolled out"
    )


def test_a_version_that_comes_up_is_proven_once() -> None:
    service.given(started("1.0.0")).when(Prove(event=healthy("1.0.0"))).then(healthy("1.0.0"))
    service.given(*FIRST).when(Prove(event=healthy("1.0.0"))).then()


def test_a_first_version_that_fails_leaves_nothing_running() -> None:
    service.given(started("1.0.0")).when(give_up("1.0.0")).then(failed("1.0.0"), back("1.0.0", ""))


def test_an_upgrade_that_fails_goes_back_to_the_proven_version() -> None:
    given = service.given(*FIRST, started("1.1.0", "1.0.0"))
    given.when(give_up("1.1.0")).then(failed("1.1.0"), back("1.1.0", "1.0.0"))
    after = service.given(*FIRST, started("1.1.0"), failed("1.1.0"), back("1.1.0", "1.0.0"))
    assert (after.state.current, after.state.rolling, after.state.port) == ("1.0.0", "", 8300)


def test_a_proven_version_is_not_given_up_by_a_late_failure() -> None:
    service.given(*FIRST).when(give_up("1.0.0")).then()


def test_a_person_goes_back_and_back_again_but_not_past_the_first() -> None:
    third = (*SECOND, started("1.2.0", "1.1.0"), healthy("1.2.0"))
    service.given(*third).when(go_back("1.2.0")).then(back("1.2.0", "1.1.0", by="ann"))
    gone = (*third, back("1.2.0", "1.1.0"))
    service.given(*gone).when(go_back("1.1.0")).then(back("1.1.0", "1.0.0", by="ann"))
    first = (*gone, back("1.1.0", "1.0.0"))
    service.given(*first).when(go_back("1.0.0")).then_raises(IllegalTransition, match="no earlier")


def test_only_the_version_that_runs_is_rolled_back() -> None:
    service.given(*SECOND).when(go_back("1.0.0")).then_raises(IllegalTransition, match="1.1.0")
    service.given(*SECOND).when(go_back("9.9.9")).then_raises(NotFound)


def test_retiring_ends_it_once_and_a_later_version_may_start() -> None:
    retire = Retire(service_name="s", by="ann", reason="done", at=T0, intent_id="r")
    retired = DeploymentRetired(
        at=T0, service_name="s", version="1.1.0", by="ann", reason="done", intent_id="r"
    )
    service.given(*SECOND).when(retire).then(retired)
    service.given().when(retire).then_raises(NotFound)
    again = service.given(*SECOND, retired)
    assert again.state.port is None
    again.when(Begin(event=started("1.2.0"))).then(started("1.2.0"))


def test_groups_of_ports_overlap_when_any_of_three_does() -> None:
    assert overlapping(8300, [8301, 8400]) == frozenset()
    assert overlapping(8300, [9300]) == {9300, 10300}
    assert overlapping(8300, [7300]) == {8300, 9300}
