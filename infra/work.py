"""The leader's loop: open work is a query over the views, taken by priority while the term lasts.

Invariants  at most ``capacity`` items at once; an item in hand is not taken twice; an error never
            ends the loop, except what says that this process no longer leads.
Delivery    a step is idempotent and its appends are fenced, so two leaders for a moment do no harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from domain.errors import ConflictError, LeaseLost, StaleEpoch, TransientError
from infra.ports import Term, Views

Item = TypeVar("Item")
_FRESH_S = 0.1  # how soon a change of order counts while a list still has work
_STARTED = 16  # items a turn of the event loop: the lease is renewed, and answers come, in between
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed item is tried again; after that it is parked."""

    attempts: int = 8
    delay_s: float = 0.1  # doubles with every attempt
    delay_s_max: float = 10.0


@dataclass(frozen=True, slots=True)
class Again:
    delay_s: float


@dataclass(frozen=True, slots=True)
class Park:
    reason: str


def outcome_of(error: Exception, *, attempt: int, policy: RetryPolicy) -> Again | Park:
    """Return what to do about a failed step (``attempt`` is 1 the first time).

    A conflict only means that somebody else wrote first: again, at once. A transient error waits.
    Anything else is parked: trying it again unchanged would fail again.
    """
    if attempt >= policy.attempts:
        return Park(f"{attempt} attempts, the last one: {error}")
    delay_s = min(policy.delay_s * 2 ** (attempt - 1), policy.delay_s_max)
    match error:
        case ConflictError():
            return Again(0.01)
        case TransientError() | TimeoutError() | OSError():
            return Again(delay_s)
        case _:
            return Park(f"{type(error).__name__}: {error}")


class Worker(Generic[Item]):
    """Takes open items until the term ends.

    ``find`` lists open work (or the first few hundred), most urgent first; ``key`` names an item;
    ``step`` does it: the event that it appends takes the item off the list. ``park`` records for
    people that an item is set aside; a parked item is not taken again in this term, and one that
    cannot even be parked only later.
    """

    def __init__(
        self,
        *,
        views: Views,
        find: Callable[[], Iterable[Item]],
        key: Callable[[Item], str],
        step: Callable[[Item, Term], Awaitable[int | None]],
        park: Callable[[Item, Term, str], Awaitable[None]],
        capacity: int,
        policy: RetryPolicy | None = None,
        idle_s: float = 1.0,
    ) -> None:
        self._views = views
        self._find = find
        self._key = key
        self._step = step
        self._park = park
        self._capacity = capacity
        self._policy = policy or RetryPolicy()
        self._idle_s = idle_s
        self._busy: set[str] = set()
        self._done_at: dict[str, int] = {}  # the view must pass this position before it says more
        self._not_before: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._parked: set[str] = set()
        self._list: Sequence[Item] = ()
        self._listed_at = float("-inf")
        self._listed_position = -1
        self._finished: set[str] = set()  # on the list, but done since it was read

    @property
    def busy(self) -> int:
        """How many items are in hand."""
        return len(self._busy)

    async def run(self, term: Term) -> None:
        """Work until ``term.ended`` is set; what is in hand then is cancelled.

        Raises:
            StaleEpoch, LeaseLost: this process no longer leads and must end.
        """
        ended = asyncio.create_task(term.ended.wait())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._loop(term, tasks))
                await ended
                raise _TermEnded
        except* _TermEnded:
            pass
        finally:
            ended.cancel()

    async def _loop(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        while True:
            for count, item in enumerate(self._takeable(), 1):
                self._busy.add(self._key(item))
                tasks.create_task(self._take(item, term))
                if count % _STARTED == 0:
                    await asyncio.sleep(0)  # or hundreds of first steps would run in one turn
            await self._views.changed(timeout_s=self._next_look_s())

    def _takeable(self) -> Sequence[Item]:
        """What to take now. The list is read again only when it can say something new.

        This is asked after every single item; reading hundreds of rows each time would cost more
        than the work itself.
        """
        free = self._capacity - len(self._busy)
        if free <= 0:
            return ()
        now = time.monotonic()
        chosen = self._choose(free, now) if now - self._listed_at < _FRESH_S else []
        if len(chosen) < free and self._read_list(now):
            chosen = self._choose(free, now)
        return chosen

    def _read_list(self, now: float) -> bool:
        position = self._views.position
        if position == self._listed_position and now - self._listed_at < _FRESH_S:
            return False
        self._list = tuple(self._find())
        self._listed_at, self._listed_position = now, position
        self._finished.clear()
        return True

    def _choose(self, free: int, now: float) -> list[Item]:
        chosen: list[Item] = []
        for item in self._list:
            key = self._key(item)
            if key in self._busy or key in self._parked or key in self._finished:
                continue
            if self._not_before.get(key, 0.0) > now:
                continue
            if self._listed_position < self._done_at.get(key, 0):
                continue  # its last event was written, but not yet in the view that was listed
            chosen.append(item)
            if len(chosen) == free:
                break
        return chosen

    def _next_look_s(self) -> float:
        if not self._not_before or len(self._busy) >= self._capacity:
            return self._idle_s
        soonest = min(self._not_before.values()) - time.monotonic()
        return min(max(soonest, 0.005), self._idle_s)

    async def _take(self, item: Item, term: Term) -> None:
        key = self._key(item)
        try:
            position = await self._step(item, term)
        except (StaleEpoch, LeaseLost):
            raise
        except Exception as error:
            await self._failed(item, key, term, error)
        else:
            self._settled(key, position)
        finally:
            self._busy.discard(key)
            self._views.wake()  # a free slot is a reason to look again

    def _settled(self, key: str, position: int | None) -> None:
        self._attempts.pop(key, None)
        self._not_before.pop(key, None)
        self._finished.add(key)
        if position is not None:
            self._done_at[key] = position
        if len(self._done_at) > 10_000:
            reached = self._listed_position
            self._done_at = {k: p for k, p in self._done_at.items() if p > reached}

    async def _failed(self, item: Item, key: str, term: Term, error: Exception) -> None:
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        outcome = outcome_of(error, attempt=attempt, policy=self._policy)
        match outcome:
            case Again(delay_s=delay_s):
                _log.info("work_retried", item=key, attempt=attempt, error=str(error))
                self._not_before[key] = time.monotonic() + delay_s
            case Park(reason=reason):
                _log.error("work_parked", item=key, attempt=attempt, exc_info=error)
                await self._set_aside(item, key, term, reason)

    async def _set_aside(self, item: Item, key: str, term: Term, reason: str) -> None:
        try:
            await self._park(item, term, reason)
        except (StaleEpoch, LeaseLost):
            raise
        except Exception as error:  # the others go on; this one comes again, to be set aside then
            _log.error("work_not_parked", item=key, exc_info=error)
            self._not_before[key] = time.monotonic() + self._policy.delay_s_max
        else:
            self._parked.add(key)
            self._not_before.pop(key, None)


class _TermEnded(Exception):
    """Ends the task group: everything in hand is cancelled."""
