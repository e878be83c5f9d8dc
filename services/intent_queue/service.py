"""What the instance host starts: views, routes and the leader's work of the intent-queue."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.ports import Context, Term
from infra.together import until_first
from projections.intents import INTENTS, OPEN_RAW, REFUSALS, TIMELINE, WAITING
from services.intent_queue.api import routes
from services.intent_queue.door import Door, unanswered
from services.intent_queue.endings import due, endings


class IntentQueue:
    name = "intent-queue"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Takes intents from NATS and HTTP, each answered by one event",
        "Priority queue with duplicates refused",
        "Status, timeline and live subscription of every intent",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = (OPEN_RAW, REFUSALS, INTENTS, TIMELINE)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def routes(self) -> Sequence[Any]:
        return routes(self._ctx)

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        return {
            "queue_depth": sum(views.count(INTENTS, status=status) for status in WAITING),
            "open_intents": views.count(INTENTS, open=True),
            "queue_capacity": self._ctx.settings.queue_capacity,
            "unanswered": views.count(OPEN_RAW),
        }

    async def lead(self, term: Term) -> None:
        """Answer raw messages and close intents until the term ends."""
        async with unanswered(self._ctx) as waiting, due(self._ctx) as ended:
            door = Door(self._ctx, waiting, capacity=self._ctx.settings.queue_capacity)
            await until_first(
                door.run(term), endings(self._ctx, ended).run(term), term.ended.wait()
            )


def create(ctx: Context) -> IntentQueue:
    return IntentQueue(ctx)
