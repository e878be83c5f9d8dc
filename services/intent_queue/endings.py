"""Record how an intent ends, once the rest of the line says so: the leader's second loop."""

from datetime import datetime

from domain.intent import IntentCompleted, IntentFailed
from infra.ports import Context, Meta, Term, Write
from infra.work import Worker
from infra.worklist import WorkList
from projections.intents import INTENTS, Ending, IntentRow

_CAPACITY = 128


def due(ctx: Context) -> WorkList[IntentRow]:
    """Intents that have come to an end which is not on the record yet, oldest first."""
    return WorkList(
        ctx.views,
        INTENTS,
        key=lambda row: row.intent_id,
        rank=lambda row: row.position if row.due else None,
        where={"due": True},
    )


def endings(ctx: Context, ended: WorkList[IntentRow]) -> Worker[IntentRow]:
    """Return the worker that closes intents whose ending is due."""

    async def step(row: IntentRow, term: Term) -> int:
        """Under the row's version, which here says more than a fence (one write has room for one
        condition): nobody has cancelled, ended or opened this intent anew since the row was read.
        """
        assert row.ending is not None
        meta = Meta(
            command_id=f"{row.intent_id}/{row.attempt}/end",
            actor=ctx.service,
            correlation_id=row.intent_id,
            causation_id=str(row.position),
            source=ctx.service,
        )
        write = Write(_end(row, row.ending, ctx.clock.now()), row.stream_position)
        (position,) = await ctx.log.append([write], meta=meta)
        return position

    async def park(row: IntentRow, term: Term, reason: str) -> None:
        ctx.problem = f"intent {row.intent_id} cannot be closed: {reason}"

    return Worker(
        views=ctx.views,
        find=lambda: ended.first(2 * _CAPACITY),
        key=lambda row: f"{row.intent_id}/{row.attempt}",
        step=step,
        park=park,
        capacity=_CAPACITY,
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
