"""The leader's appends about one intent, decided on what its subject holds."""

from collections.abc import Callable, Sequence

from domain.event import Event
from domain.governance import INITIAL, State, evolve
from infra.commands import execute
from infra.ports import Context, Meta, Term


def meta_of(ctx: Context, intent_id: str, *, command: str, cause: int) -> Meta:
    """The leader's own: ``command`` is the repeat's, too, ``cause`` the position it is due to."""
    return Meta(
        command_id=command,
        actor=ctx.service,
        correlation_id=intent_id,
        causation_id=str(cause),
        source=ctx.service,
    )


async def record(
    ctx: Context, term: Term, decide: Callable[[State], Sequence[Event]], *, meta: Meta
) -> int:
    """Append under the fence what ``decide`` makes of the history of the intent that ``meta`` is
    about; return the last position.

    Raises:
        DomainError, ConflictError, StaleEpoch, TransientError, LogRefused: as ``execute``.
    """
    done = await execute(
        ctx.log,
        f"events.governance.{meta.correlation_id}",
        initial=INITIAL,
        evolve=evolve,
        decide=decide,
        meta=meta,
        fence=term.fence,
    )
    return done.position
