"""Run a command: read its stream, decide, append under its version; again on conflict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.errors import ConflictError
from domain.event import Event
from infra.ports import EventLog, Fence, Guard, Meta, Write

State = TypeVar("State")
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Done:
    """The events a command led to (empty when it was already so) and the last position."""

    events: Sequence[Event]
    position: int


async def execute(
    log: EventLog,
    subject: str,
    *,
    initial: State,
    evolve: Callable[[State, Any], State],
    decide: Callable[[State], Sequence[Event]],
    meta: Meta,
    fence: Fence | None = None,
    guard: Guard | None = None,
) -> Done:
    """Return what was appended, and where.

    ``guard``: a subject that ``decide`` relies on; it takes the place of a fence, and two events
    at least, of which the last carries it.

    A single event written with a fence carries no version (the server takes one condition a
    message): its fold must tolerate an event that came in between.

    Raises:
        DomainError: ``decide`` refused the command.
        ConflictError: others wrote first, several times in a row, or on the guarded subject.
        StaleEpoch, TransientError, LogRefused: as ``EventLog.append``.
    """
    conflict: ConflictError | None = None
    for _ in range(_ATTEMPTS):
        history = await log.read(subject)
        state = initial
        for recorded in history:
            state = evolve(state, recorded.event)
        last = history[-1].position if history else 0
        events = decide(state)
        if not events:
            return Done((), last)
        expected = None if fence is not None and len(events) == 1 else last
        writes = [Write(events[0], expected), *(Write(event) for event in events[1:])]
        try:
            positions = await log.append(writes, meta=meta, fence=fence or guard)
        except ConflictError as error:
            if guard is not None and error.subject == guard.subject:
                raise  # only the caller knows what follows from that
            conflict = error
            continue
        return Done(events, positions[-1])
    assert conflict is not None
    raise conflict
