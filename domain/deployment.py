"""Deployment: which version of a service should run, and which one to go back to.

Stream      ``events.deployment.<service_name>``: all versions of one service in one order
Invariants  at most one version is being rolled out; a version that was given up or proven does not
            change any more; going back leads to a version that was proven.
Ports       base, +1000 and +2000 belong to one service from its first version until it is given up
            or retired (``events.port.<base>``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from domain.delivery_events import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentHealthy,
    DeploymentRetired,
    DeploymentRolledBack,
    DeploymentStarted,
)
from domain.errors import IllegalTransition, NotFound

STEP = 1000
INSTANCES = 3


def group_ports(base: int) -> frozenset[int]:
    """The three ports of a service's instances."""
    return frozenset(base + STEP * number for number in range(INSTANCES))


def overlapping(base: int, taken: Iterable[int]) -> frozenset[int]:
    """The ports of ``base``'s group that belong to one of the ``taken`` bases."""
    others: frozenset[int] = frozenset().union(*(group_ports(other) for other in taken))
    return group_ports(base) & others


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Roll a version out. ``event.replaces`` is filled in from the state."""

    event: DeploymentStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    event: DeploymentHealthy


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The version being rolled out does not become healthy."""

    service_name: str
    version: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBack:
    """A person wants the version before ``version`` again.

    ``built_in``: without an earlier version there is still the installed source to go back to.
    """

    service_name: str
    version: str
    by: str
    reason: str
    at: datetime
    built_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    service_name: str
    by: str
    reason: str
    at: datetime
    intent_id: str = ""


Command = Begin | Prove | GiveUp | GoBack | Retire


@dataclass(frozen=True, slots=True)
class State:
    """``current`` is the version that should run; ``rolling`` the one not yet proven."""

    releases: Mapping[str, DeploymentStarted] = field(default_factory=dict)
    proven: tuple[str, ...] = ()  # oldest first, without those given up
    current: str = ""
    rolling: str = ""
    retired: bool = False

    @property
    def port(self) -> int | None:
        """The base port that the service holds; None when it holds none."""
        return self.releases[self.current].port if self.current else None


INITIAL = State()


def evolve(state: State, event: DeploymentEvent) -> State:
    match event:
        case DeploymentStarted(version=version):
            releases = {**state.releases, version: event}
            return replace(
                state, releases=releases, current=version, rolling=version, retired=False
            )
        case DeploymentHealthy(version=version):
            if version != state.rolling:
                return state  # given up meanwhile
            return replace(state, rolling="", proven=(*state.proven, version))
        case DeploymentFailed():
            return state  # DeploymentRolledBack says what follows
        case DeploymentRolledBack(version=version, to_version=back):
            if version != state.current:
                return state
            proven = tuple(known for known in state.proven if known != version)
            return replace(state, current=back, rolling="", proven=proven)
        case DeploymentRetired():
            return replace(state, current="", rolling="", proven=(), retired=True)
        case _:
            assert_never(event)


def fold(events: Iterable[DeploymentEvent]) -> State:
    state = INITIAL
    for event in events:
        state = evolve(state, event)
    return state


def decide(command: Command, state: State) -> tuple[DeploymentEvent, ...]:
    """Return what to record; ``()`` when it is already so.

    Raises:
        NotFound: this service runs no version.
        IllegalTransition: another version is being rolled out, or there is none to go back to.
    """
    match command:
        case Begin(event=event):
            return _begin(event, state)
        case Prove(event=event):
            return (event,) if state.rolling == event.version else ()
        case GiveUp():
            return _give_up(command, state)
        case GoBack():
            return _go_back(command, state)
        case Retire():
            return _retire(command, state)
        case _:
            assert_never(command)


def _begin(event: DeploymentStarted, state: State) -> tuple[DeploymentEvent, ...]:
    if event.version in state.releases:
        return ()
    if state.rolling:
        raise IllegalTransition(f"{event.service_name} {state.rolling} is still being rolled out")
    return (event.model_copy(update={"replaces": state.current}),)


def _give_up(command: GiveUp, state: State) -> tuple[DeploymentEvent, ...]:
    if state.rolling != command.version:
        return ()
    started = state.releases[command.version]
    failed = DeploymentFailed(
        service_name=command.service_name,
        version=command.version,
        intent_id=started.intent_id,
        build_id=started.build_id,
        at=command.at,
        reason=command.reason,
    )
    return (failed, _back(started, state, command))


def _go_back(command: GoBack, state: State) -> tuple[DeploymentEvent, ...]:
    started = state.releases.get(command.version)
    if started is None:
        raise NotFound(f"{command.service_name} {command.version} was never deployed")
    if state.current != command.version:
        if command.version not in state.proven:
            return ()  # it is already given up
        raise IllegalTransition(f"{command.service_name} runs {state.current}, not this version")
    back = _back(started, state, command)
    if not back.to_version and not command.built_in:
        raise IllegalTransition(f"{command.service_name} has no earlier version to go back to")
    return (back,)


def _back(
    started: DeploymentStarted, state: State, command: GiveUp | GoBack
) -> DeploymentRolledBack:
    earlier = [version for version in state.proven if version != started.version]
    return DeploymentRolledBack(
        service_name=command.service_name,
        version=started.version,
        intent_id=started.intent_id,
        build_id=started.build_id,
        at=command.at,
        to_version=earlier[-1] if earlier else "",
        by=command.by,
        reason=command.reason,
    )


def _retire(command: Retire, state: State) -> tuple[DeploymentEvent, ...]:
    if state.retired:
        return ()
    if not state.current:
        raise NotFound(f"{command.service_name} is not deployed")
    started = state.releases[state.current]
    event = DeploymentRetired(
        service_name=command.service_name,
        version=started.version,
        intent_id=command.intent_id,
        build_id=started.build_id,
        at=command.at,
        by=command.by,
        reason=command.reason,
    )
    return (event,)
