"""One service's place in the registry: registered, degraded, recovered, removed.

Stream      ``events.service.<name>``
Invariants  nothing is said twice: a repeat of what already holds leads to no event; a service that
            is not registered has no health.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from domain.delivery_events import (
    ServiceDegraded,
    ServiceDeregistered,
    ServiceRecovered,
    ServiceRegistered,
)
from domain.errors import IllegalTransition, NotFound

RegistrationEvent = ServiceRegistered | ServiceDeregistered | ServiceDegraded | ServiceRecovered
REASON_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class State:
    """``registered`` is the newest registration while it stands."""

    registered: ServiceRegistered | None = None
    degraded: str | None = None  # why; None: it is well

    @property
    def ours(self) -> bool:
        """Built in or deployed by this system, so that nobody else may speak for it."""
        known = self.registered
        return known is not None and bool(known.builtin or known.build_id or known.intent_id)


INITIAL = State()


def evolve(state: State, event: RegistrationEvent) -> State:
    match event:
        case ServiceRegistered():
            return State(event)
        case ServiceDeregistered():
            return INITIAL
        case ServiceDegraded(reason=reason):
            return replace(state, degraded=reason)
        case ServiceRecovered():
            return replace(state, degraded=None)
        case _:
            assert_never(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """``by_itself``: a program registers itself over HTTP, not the registry for the system."""

    service: ServiceRegistered
    by_itself: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deregister:
    """``by_hand``: a person asks, not the end of a deployment."""

    name: str
    by: str
    reason: str
    at: datetime
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check or a heartbeat found; ``problem`` "" means well."""

    name: str
    problem: str
    at: datetime


Command = Register | Deregister | Report


def decide(command: Command, state: State) -> tuple[RegistrationEvent, ...]:
    """Return the event to record; ``()`` when it already holds.

    Raises:
        NotFound: no such service is registered.
        IllegalTransition: this name belongs to a service of the system itself.
    """
    match command:
        case Register():
            return _register(command, state)
        case Deregister():
            return _deregister(command, state)
        case Report():
            return _report(command, state)
        case _:
            assert_never(command)


def _register(command: Register, state: State) -> tuple[RegistrationEvent, ...]:
    if command.by_itself and state.ours:
        raise IllegalTransition(f"{command.service.name} is run by this system")
    known = state.registered
    if known is not None and _content(known) == _content(command.service):
        return ()
    return (command.service,)


def _content(event: ServiceRegistered) -> Mapping[str, Any]:
    return event.model_dump(exclude={"at"})


def _deregister(command: Deregister, state: State) -> tuple[RegistrationEvent, ...]:
    known = state.registered
    if known is None:
        if command.by_hand:
            raise NotFound(f"no service {command.name}")
        return ()
    if command.by_hand and known.builtin:
        raise IllegalTransition(f"{command.name} is a part of this system")
    event = ServiceDeregistered(
        name=command.name, at=command.at, by=command.by, reason=command.reason
    )
    return (event,)


def _report(command: Report, state: State) -> tuple[RegistrationEvent, ...]:
    if state.registered is None:
        raise NotFound(f"no service {command.name}")
    if command.problem:
        if state.degraded is not None:
            return ()  # said once; what else goes wrong meanwhile is in the service's own log
        reason = command.problem[:REASON_CHARS_MAX]
        return (ServiceDegraded(name=command.name, at=command.at, reason=reason),)
    if state.degraded is None:
        return ()
    return (ServiceRecovered(name=command.name, at=command.at),)
