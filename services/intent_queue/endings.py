"""Record how an intent ends, once the rest of the line says so: the leader's second loop."""

from domain.intent import Fail, Finish, IntentEvent, State, decide, evolve
from infra.commands import execute
from infra.ports import Context, Meta, Term
from infra.work import Worker
from projections.intents import INTENTS, Ending, IntentRow

_CAPACITY = 32


def endings(ctx: Context) -> Worker[IntentRow]:
    """Return the worker that closes intents whose ending is due."""

    async def step(row: IntentRow, term: Term) -> int:
        assert row.ending is not None
        done = await execute(
            ctx.log,
            f"events.intent.{row.intent_id}",
            initial=State(),
            evolve=evolve,
            decide=lambda state: _decide(ctx, row, row.ending, state),
            meta=Meta(
                command_id=f"{row.intent_id}/{row.attempt}/end",
                actor=ctx.service,
                correlation_id=row.intent_id,
                causation_id=str(row.position),
                source=ctx.service,
            ),
            fence=term.fence,
        )
        return done.position

    async def park(row: IntentRow, term: Term, reason: str) -> None:
        ctx.problem = f"intent {row.intent_id} cannot be closed: {reason}"

    return Worker(
        views=ctx.views,
        find=lambda: ctx.views.all(INTENTS, due=True),
        key=lambda row: f"{row.intent_id}/{row.attempt}",
        step=step,
        park=park,
        capacity=_CAPACITY,
    )


def _decide(
    ctx: Context, row: IntentRow, ending: Ending | None, state: State
) -> tuple[IntentEvent, ...]:
    if ending is None or (state.queued and state.queued.attempt != row.attempt):
        return ()  # retried meanwhile
    at = ctx.clock.now()
    if ending.status == "completed":
        return decide(
            Finish(
                intent_id=row.intent_id,
                outcome=ending.reason,
                version=ending.version,
                url=ending.url,
                at=at,
            ),
            state,
        )
    return decide(
        Fail(
            intent_id=row.intent_id,
            status=ending.status,
            phase=ending.phase,
            reason=ending.reason,
            at=at,
        ),
        state,
    )
