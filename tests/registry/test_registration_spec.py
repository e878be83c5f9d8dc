"""The rules of one service's place in the registry."""

from datetime import UTC, datetime

from domain.delivery_events import (
    ServiceDegraded,
    ServiceDeregistered,
    ServiceRecovered,
    ServiceRegistered,
)
from domain.errors import IllegalTransition, NotFound
from domain.registration import (
    INITIAL,
    Command,
    Deregister,
    Register,
    RegistrationEvent,
    Report,
    State,
    decide,
    evolve,
)
from tests.support.spec import Decider

T0 = datetime(2030, 1, 1, tzinfo=UTC)
T1 = datetime(2030, 1, 2, tzinfo=UTC)
place: Decider[Command, State, RegistrationEvent] = Decider(INITIAL, evolve, decide)


def feed(version: str = "1.0", at: datetime = T0, **more: object) -> ServiceRegistered:
    return ServiceRegistered.model_validate(
        {
            "name": "feed",
            "at": at,
            "version": version,
            "tier": 2,
            "port": 9100,
            "url": "http://h:9100",
            **more,
        }
    )


def removed(by: str = "ann") -> ServiceDeregistered:
    return ServiceDeregistered(name="feed", at=T0, by=by, reason="")


def remove(*, by_hand: bool = True) -> Deregister:
    return Deregister(name="feed", by="ann", reason="", at=T0, by_hand=by_hand)


def report(problem: str) -> Report:
    return Report(name="feed", problem=problem, at=T0)


degraded = ServiceDegraded(name="feed", at=T0, reason="slow")
recovered = ServiceRecovered(name="feed", at=T0)


def test_a_service_is_registered() -> None:
    place.given().when(Register(service=feed())).then(feed())


def test_the_same_registration_later_changes_nothing() -> None:
    place.given(feed()).when(Register(service=feed(at=T1))).then()


def test_a_new_version_is_registered_over_the_old_one() -> None:
    place.given(feed()).when(Register(service=feed("1.1"))).then(feed("1.1"))


def test_nobody_registers_under_the_name_of_a_service_of_the_system() -> None:
    taken = feed(build_id="b-1")
    place.given(taken).when(Register(service=feed("6"), by_itself=True)).then_raises(
        IllegalTransition, "is run by this system"
    )


def test_a_registered_service_is_removed() -> None:
    place.given(feed()).when(remove(by_hand=False)).then(removed())


def test_a_person_cannot_remove_what_is_not_there() -> None:
    place.given().when(remove()).then_raises(NotFound)


def test_a_part_of_the_system_is_not_removed_by_hand() -> None:
    place.given(feed(builtin=True)).when(remove()).then_raises(IllegalTransition)


def test_a_problem_is_recorded_once() -> None:
    place.given(feed()).when(report("slow")).then(degraded)
    place.given(feed(), degraded).when(report("slower still")).then()


def test_being_well_again_is_recorded_once() -> None:
    place.given(feed(), degraded).when(report("")).then(recovered)
    place.given(feed()).when(report("")).then()


def test_what_is_not_registered_has_no_health() -> None:
    place.given(feed(), removed()).when(report("slow")).then_raises(NotFound)
