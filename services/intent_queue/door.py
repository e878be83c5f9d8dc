"""Answer raw messages, in their order: the leader's first loop.

Delivery    the answer's command id is the raw position, so a repeat after a failover or a lost
            acknowledgement appends nothing; every append is fenced.
"""

import asyncio

import structlog

from domain.errors import LogRefused, TransientError
from domain.intake import OpenIntent, Queue, claimed_id, derived_id, judge
from domain.intent import Intent, IntentQueued, IntentRefused
from infra.ports import Context, Meta, Term, Write
from projections.intents import INTENTS, OPEN_RAW, OpenRaw

_BATCH = 200
_IDLE_S = 1.0
_RETRY_S = 0.2
_log = structlog.get_logger(__name__)


class Door:
    """Knows what it has answered in this term before its own view does."""

    def __init__(self, ctx: Context, *, capacity: int) -> None:
        self._ctx = ctx
        self._capacity = capacity
        self._answered: dict[int, int] = {}  # raw position -> position of the answer
        self._young: dict[str, tuple[int, Intent]] = {}  # queued, perhaps not yet in the view

    async def run(self, term: Term) -> None:
        """Answer until cancelled."""
        while True:
            self._forget_what_the_view_knows()
            waiting = [
                raw
                for raw in self._ctx.views.page(OPEN_RAW, limit=_BATCH).rows
                if raw.position not in self._answered
            ]
            if not waiting:
                await self._ctx.views.changed(timeout_s=_IDLE_S)
                continue
            try:
                await self._answer(waiting, term)
            except TransientError as error:
                _log.warning("answers_delayed", waiting=len(waiting), error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _answer(self, waiting: list[OpenRaw], term: Term) -> None:
        open_intents = {
            row.intent_id: OpenIntent.of(row.intent)
            for row in self._ctx.views.all(INTENTS, open=True)
        }
        for _, intent in self._young.values():
            open_intents[intent.intent_id] = OpenIntent.of(intent)
        appends = []
        for raw in waiting:
            answer = self._judge(raw, open_intents)
            if isinstance(answer, IntentQueued):
                open_intents[answer.intent_id] = OpenIntent.of(answer.intent)
                self._young[answer.intent_id] = (2**62, answer.intent)
            appends.append(self._append(raw, answer, term))
        results = await asyncio.gather(*appends, return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                self._young = {k: v for k, v in self._young.items() if v[0] != 2**62}
                raise error

    def _judge(
        self, raw: OpenRaw, open_intents: dict[str, OpenIntent]
    ) -> IntentQueued | IntentRefused:
        event = raw.event()
        intent_id = claimed_id(event.body) or str(derived_id(raw.position))
        row = self._ctx.views.get(INTENTS, intent_id)
        young = self._young.get(intent_id)
        return judge(
            event,
            position=raw.position,
            queue=Queue(open=tuple(open_intents.values()), capacity=self._capacity),
            known=row.intent if row else young[1] if young else None,
            at=self._ctx.clock.now(),
        )

    async def _append(self, raw: OpenRaw, answer: IntentQueued | IntentRefused, term: Term) -> None:
        meta = Meta(
            command_id=f"raw/{raw.position}",
            actor=_actor(answer),
            correlation_id=answer.intent_id,
            causation_id=str(raw.position),
            source=self._ctx.service,
        )
        try:
            (position,) = await self._ctx.log.append([Write(answer)], meta=meta, fence=term.fence)
        except LogRefused as error:
            # The answer itself will not fit (it can repeat most of the message): refuse it shortly.
            _log.warning("answer_refused_by_log", raw_position=raw.position, error=str(error))
            short = _too_large(raw, answer)
            (position,) = await self._ctx.log.append([Write(short)], meta=meta, fence=term.fence)
        self._answered[raw.position] = position
        if isinstance(answer, IntentQueued):
            self._young[answer.intent_id] = (position, answer.intent)

    def _forget_what_the_view_knows(self) -> None:
        reached = self._ctx.views.position
        self._answered = {raw: at for raw, at in self._answered.items() if at > reached}
        self._young = {key: young for key, young in self._young.items() if young[0] > reached}


def _actor(answer: IntentQueued | IntentRefused) -> str:
    if isinstance(answer, IntentQueued) and answer.intent.authenticated:
        return answer.intent.submitted_by
    return "intent-queue"


def _too_large(raw: OpenRaw, answer: IntentQueued | IntentRefused) -> IntentRefused:
    return IntentRefused(
        at=answer.at,
        raw_position=raw.position,
        code="too_large",
        reason="the intent does not fit into an event of the log",
        intent_id=answer.intent_id,
    )
