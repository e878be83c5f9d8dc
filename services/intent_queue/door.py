"""Answer raw messages, in their order: the leader's first loop.

Delivery    the answer's command id is the raw position, so a repeat after a failover or a lost
            acknowledgement appends nothing; every append is fenced.
"""

import asyncio
from collections.abc import Iterator

import structlog

from domain.errors import LogRefused, PhoenixError, TransientError
from domain.intake import OpenIntent, Queue, judge
from domain.intent import Intent, IntentQueued, IntentRefused
from domain.open_intents import OpenIntents
from infra.ports import Append, Context, Meta, Term, Write
from infra.worklist import WorkList, in_turns
from projections.intents import INTENTS, OPEN_RAW, IntentRow, OpenRaw

_BATCH = 500
_TURN = 300
_ASKED = ("intent.service_name", "intent.purpose")
_IDLE_S = 1.0
_RETRY_S = 0.2
Answer = IntentQueued | IntentRefused
_log = structlog.get_logger(__name__)


def unanswered(ctx: Context) -> WorkList[OpenRaw]:
    """Raw messages without an answer, oldest first."""
    return WorkList(ctx.views, OPEN_RAW, rank="position")


class Door:
    """Knows what it has answered in this term before its own view does."""

    def __init__(self, ctx: Context, unanswered: WorkList[OpenRaw], *, capacity: int) -> None:
        self._ctx = ctx
        self._unanswered = unanswered
        self._capacity = capacity
        self._open = OpenIntents()
        self._answered: dict[int, int] = {}  # raw position -> position of the answer
        self._young: dict[str, Intent] = {}  # queued here, not yet in the view

    async def run(self, term: Term) -> None:
        """Answer until cancelled."""
        with self._ctx.views.watching(INTENTS, self._seen):
            await self._read_open_intents()
            while True:
                waiting = self._next()
                if not waiting:
                    await self._ctx.views.changed(timeout_s=_IDLE_S)
                    continue
                try:
                    await self._answer(waiting, term)
                except TransientError as error:
                    _log.warning("answers_delayed", waiting=len(waiting), error=str(error))
                    await asyncio.sleep(_RETRY_S)

    def _seen(self, intent_id: str, row: IntentRow | None) -> None:
        """The view has a change of an intent: whoever ended it, and whoever opened it again."""
        self._young.pop(intent_id, None)
        if row is None or not row.open:
            self._open.remove(intent_id)
        elif intent_id not in self._open:
            self._open.add(OpenIntent.of(row.intent))

    async def _read_open_intents(self) -> None:
        """Once a term; changes meanwhile arrive through ``_seen``."""
        where = {"open": True}
        async for rows in in_turns(self._ctx.views, INTENTS, *_ASKED, where=where, limit=_TURN):
            self._open.update(OpenIntent.asking(*asked) for _, *asked in rows)

    def _next(self) -> list[OpenRaw]:
        """Raw messages without an answer, oldest first; empty when there is none."""
        self._forget_what_the_view_knows()
        oldest = self._unanswered.first(_BATCH + len(self._answered))
        return [raw for raw in oldest if raw.position not in self._answered]

    async def _answer(self, waiting: list[OpenRaw], term: Term) -> None:
        """Judge each in its turn and append what it comes to.

        Raises:
            TransientError, StaleEpoch, LogRefused: as ``EventLog.append``; the others are answered.
        """
        answers: list[Answer] = []

        def judged() -> Iterator[Append]:
            for raw in waiting:
                answers.append(self._judge(raw))
                yield self._append(raw, answers[-1])

        try:
            outcomes = await self._ctx.log.append_each(judged(), fence=term.fence)
        except BaseException:
            for answer in answers:
                self._not_queued(answer)  # or perhaps it is: then the view will say so
            raise
        failed: list[PhoenixError] = []
        for raw, answer, outcome in zip(waiting, answers, outcomes, strict=True):
            if isinstance(outcome, tuple):
                self._answered[raw.position] = outcome[-1]
                continue
            self._not_queued(answer)
            if isinstance(outcome, LogRefused):
                await self._refuse_shortly(raw, answer, outcome, term)
            else:
                failed.append(outcome)
        if failed:
            raise failed[0]

    def _judge(self, raw: OpenRaw) -> Answer:
        answer = judge(
            raw.event(),
            position=raw.position,
            queue=Queue(open=self._open, capacity=self._capacity),
            known=self._known,
            at=self._ctx.clock.now(),
        )
        if isinstance(answer, IntentQueued):
            self._open.add(OpenIntent.of(answer.intent))
            self._young[answer.intent_id] = answer.intent
        return answer

    def _known(self, intent_id: str) -> Intent | None:
        row = self._ctx.views.get(INTENTS, intent_id)
        return row.intent if row else self._young.get(intent_id)

    def _append(self, raw: OpenRaw, answer: Answer) -> Append:
        meta = Meta(
            command_id=f"raw/{raw.position}",
            actor=_actor(answer),
            correlation_id=answer.intent_id,
            causation_id=str(raw.position),
            source=self._ctx.service,
        )
        return [Write(answer)], meta

    async def _refuse_shortly(
        self, raw: OpenRaw, answer: Answer, error: LogRefused, term: Term
    ) -> None:
        """The answer itself will not fit: it can repeat most of the message."""
        _log.warning("answer_refused_by_log", raw_position=raw.position, error=str(error))
        writes, meta = self._append(raw, _too_large(raw, answer))
        (position,) = await self._ctx.log.append(writes, meta=meta, fence=term.fence)
        self._answered[raw.position] = position

    def _not_queued(self, answer: Answer) -> None:
        if isinstance(answer, IntentQueued) and answer.intent_id in self._young:
            del self._young[answer.intent_id]
            self._open.remove(answer.intent_id)

    def _forget_what_the_view_knows(self) -> None:
        reached = self._ctx.views.position
        self._answered = {raw: at for raw, at in self._answered.items() if at > reached}


def _actor(answer: Answer) -> str:
    if isinstance(answer, IntentQueued) and answer.intent.authenticated:
        return answer.intent.submitted_by
    return "intent-queue"


def _too_large(raw: OpenRaw, answer: Answer) -> IntentRefused:
    return IntentRefused(
        at=answer.at,
        raw_position=raw.position,
        code="too_large",
        reason="the intent does not fit into an event of the log",
        intent_id=answer.intent_id,
    )
