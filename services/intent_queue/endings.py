"""Record how an intent ends once the rest of the line says so, or that it is opened again since a
person has overridden that end: the leader's second loop.
"""

from datetime import datetime

from domain.intent import IntentCompleted, IntentFailed, IntentQueued
from infra.ports import Context, Meta, Term, Write
from infra.work import Worker
from infra.worklist import WorkList
from projections.intents import INTENTS, Ending, IntentRow

_CAPACITY = 128


def due(ctx: Context) -> WorkList[IntentRow]:
    """Intents whose end, or new beginning, is not on the record yet, oldest first."""
    return WorkList(ctx.views, INTENTS, rank="position", column="due")


def endings(ctx: Context, ended: WorkList[IntentRow]) -> Worker[IntentRow]:
    """Return the worker that closes intents whose ending is due, and opens those that go on."""

    async def step(row: IntentRow, term: Term) -> int:
        """Under the row's version, which here says more than a fence (one write has room for one
        condition): nobody has cancelled, ended or opened this intent anew since the row was read.
        """
        meta = Meta(
            command_id=_key(row),
            actor=ctx.service,
            correlation_id=row.intent_id,
            causation_id=str(row.position),
            source=ctx.service,
        )
        at = ctx.clock.now()
        event = _end(row, row.ending, at) if row.ending else _again(row, at)
        write = Write(event, row.stream_position)
        (position,) = await ctx.log.append([write], meta=meta)
        return position

    async def park(row: IntentRow, term: Term, reason: str) -> None:
        ctx.problem = f"intent {row.intent_id} cannot be closed or opened again: {reason}"

    return Worker(
        views=ctx.views,
        find=lambda: ended.first(2 * _CAPACITY),
        key=_key,
        step=step,
        park=park,
        capacity=_CAPACITY,
    )


def _key(row: IntentRow) -> str:
    """The same for every leader: what is recorded once is not recorded again."""
    return f"{row.intent_id}/{row.attempt}/{'end' if row.ending else 'again'}"


def _again(row: IntentRow, at: datetime) -> IntentQueued:
    """A new attempt: it is assessed and decided anew, and the override stands above that."""
    return IntentQueued(
        intent_id=row.intent_id,
        at=at,
        intent=row.intent,
        raw_position=row.raw_position,
        attempt=row.attempt + 1,
    )


def _end(row: IntentRow, ending: Ending, at: datetime) -> IntentCompleted | IntentFailed:
    """The last event of an intent. Nothing is left to decide: a row that is due has not ended."""
    if ending.status == "completed":
        return IntentCompleted(
            intent_id=row.intent_id,
            at=at,
            outcome=ending.reason,
            version=ending.version,
            url=ending.url,
        )
    return IntentFailed(
        intent_id=row.intent_id,
        at=at,
        status=ending.status,
        phase=ending.phase,
        reason=ending.reason,
    )
