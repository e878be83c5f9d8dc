"""How a person's command becomes events: one append under the version of what it is about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.errors import TransientError
from domain.event import Event
from infra.commands import execute
from infra.ports import Context, Guard, Meta, Person

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who sends a command, and the id that makes its repeat harmless."""

    person: Person
    command_id: str


async def append(
    ctx: Context,
    subject: str,
    by: By,
    *,
    initial: State,
    evolve: Callable[[State, Any], State],
    decide: Callable[[State], Sequence[Event]],
    correlation_id: str = "",
    guard: Guard | None = None,
) -> int:
    """Return the position, once this instance's views show what was done. ``guard``: as
    ``infra.commands.execute`` has it.

    Raises:
        DomainError: ``decide`` refused the command.
        ConflictError, TransientError: as ``infra.commands.execute``.
    """
    meta = Meta(
        command_id=by.command_id,
        actor=by.person.name,
        correlation_id=correlation_id,
        source=ctx.service,
    )
    done = await execute(
        ctx.log,
        subject,
        initial=initial,
        evolve=evolve,
        decide=decide,
        meta=meta,
        guard=guard,
    )
    await shown(ctx, done.position)
    return done.position


async def shown(ctx: Context, position: int) -> None:
    """Wait for the view, so that the answer shows what was done; it is done in any case."""
    try:
        await ctx.views.reach(position)
    except TransientError:
        return
