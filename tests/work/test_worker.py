"""The leader's loop: bounded, retried, parked, and over when the term is."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from domain.errors import ConflictError, IllegalTransition, StaleEpoch, TransientError
from domain.event import Event
from domain.intent import IntentCancelled, IntentReprioritized
from domain.recorded import Recorded
from domain.view import Table
from infra.ports import Batch, Fence, Meta, Term, Write
from infra.views import SqliteViews
from infra.work import Again, Park, RetryPolicy, Worker, outcome_of
from tests.support.context import T0
from tests.support.memory import MemoryLog, MemorySubscription

POLICY = RetryPolicy(attempts=3, delay_s=0.01, delay_s_max=0.02)


class Job(BaseModel):
    name: str


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.intent_id,)


def _fold(row: Job | None, recorded: Recorded[Any], key: str) -> Job | None:
    return Job(name=key) if isinstance(recorded.event, IntentReprioritized) else None


JOBS: Table[Job] = Table(
    name="jobs", version=1, subjects=("events.intent.>",), row=Job, keys=_keys, fold=_fold
)


class Late(MemoryLog):
    """Hands out what it holds a little later, as a log does that is far away or busy."""

    def follow(
        self,
        subjects: Sequence[str],
        *,
        after: int = 0,
        batch: int = 500,
        events: Collection[type[Event]] | None = None,
    ) -> MemorySubscription:
        return LateSubscription(self, subjects, after, batch, events)


class LateSubscription(MemorySubscription):
    async def __anext__(self) -> Batch:
        batch = await super().__anext__()
        await asyncio.sleep(0.03)
        return batch


class Bench:
    """Open jobs in a log; a step closes its job with an event."""

    def __init__(self, folder: Path, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        self.views = SqliteViews(folder, [JOBS])
        self.term = Term(Fence("jobs", 1, 1))
        self.parked: dict[str, str] = {}
        self.done: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.errors: dict[str, list[Exception]] = {}
        self.park_errors: dict[str, list[Exception]] = {}

    async def open(self, *names: str) -> None:
        for name in names:
            await self._append(IntentReprioritized(intent_id=name, at=T0, priority="low"))

    async def step(self, job: Job, term: Term) -> int:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.005)
            if self.errors.get(job.name):
                raise self.errors[job.name].pop(0)
            self.done.append(job.name)
            return await self._append(IntentCancelled(intent_id=job.name, at=T0, reason="done"))
        finally:
            self.at_once -= 1

    async def park(self, job: Job, term: Term, reason: str) -> None:
        if self.park_errors.get(job.name):
            raise self.park_errors[job.name].pop(0)
        self.parked[job.name] = reason

    async def _append(self, event: Event) -> int:
        meta = Meta(command_id=str(await self.log.last_position()), actor="test")
        (position,) = await self.log.append([Write(event)], meta=meta)
        return position

    @asynccontextmanager
    async def working(self, capacity: int = 4) -> AsyncIterator["asyncio.Task[None]"]:
        worker = Worker(
            views=self.views,
            find=lambda: self.views.all(JOBS),
            key=lambda job: job.name,
            step=self.step,
            park=self.park,
            capacity=capacity,
            policy=POLICY,
        )
        following = asyncio.create_task(self.views.follow(self.log))
        running = asyncio.create_task(worker.run(self.term))
        try:
            yield running
        finally:
            self.term.ended.set()
            following.cancel()
            await asyncio.gather(following, running, return_exceptions=True)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.done) + len(self.parked) < count:
                await self.views.changed(timeout_s=0.02)


async def test_every_open_job_is_done_once_within_the_capacity(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    names = [f"job-{n}" for n in range(20)]
    await bench.open(*names)
    async with bench.working(capacity=3):
        await bench.until(20)
        await bench.views.reach(await bench.log.last_position())
    assert sorted(bench.done) == sorted(names)
    assert bench.most_at_once == 3
    assert bench.views.count(JOBS) == 0


async def test_no_job_is_done_again_because_the_list_is_older_than_the_view(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Late())
    names = [f"job-{n:03}" for n in range(400)]
    await bench.open(*names)
    async with bench.working(capacity=40):
        await bench.until(400)
        await bench.views.reach(await bench.log.last_position())
        await bench.open("one more")  # whatever began before it is done before it
        await bench.until(401)
    assert sorted(bench.done) == [*names, "one more"]


async def test_a_passing_error_is_retried_and_a_lasting_one_parked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.errors = {
        "passing": [TransientError("away"), ConflictError("s")],
        "wrong": [IllegalTransition("no")],
        "lasting": [TransientError("away")] * 9,
    }
    await bench.open("passing", "wrong", "lasting", "fine")
    async with bench.working():
        await bench.until(4)
    assert sorted(bench.done) == ["fine", "passing"]
    assert bench.parked["wrong"] == "IllegalTransition: no"
    assert bench.parked["lasting"].startswith("3 attempts")
    assert len(bench.errors["lasting"]) == 6


async def test_what_cannot_even_be_parked_comes_again_and_keeps_nobody_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.errors = {"wrong": [IllegalTransition("no")] * 2, "other": [IllegalTransition("no")]}
    bench.park_errors = {"wrong": [ValueError("cannot be written")]}
    await bench.open("wrong", "other", "fine")
    async with bench.working():
        await bench.until(3)
    assert bench.done == ["fine"]
    assert sorted(bench.parked) == ["other", "wrong"]
    assert bench.errors["wrong"] == []


async def test_a_stale_term_ends_the_loop_with_its_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.errors = {"a": [StaleEpoch(given=1, current=2)]}
    await bench.open("a")
    async with bench.working() as running:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(running, 10)
    assert caught.group_contains(StaleEpoch)


async def test_the_end_of_the_term_ends_what_is_in_hand(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.open("a")
    async with bench.working() as running:
        await bench.until(1)
        bench.term.ended.set()
        await asyncio.wait_for(running, 5)


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (ConflictError("s"), 1, Again(0.01)),
        (TransientError("x"), 1, Again(0.1)),
        (TransientError("x"), 3, Again(0.4)),
        (TransientError("x"), 7, Again(6.4)),
        (OSError("disk"), 2, Again(0.2)),
        (IllegalTransition("no"), 1, Park("IllegalTransition: no")),
        (ValueError("bug"), 1, Park("ValueError: bug")),
        (TransientError("x"), 8, Park("8 attempts, the last one: x")),
    ],
)
def test_what_is_done_about_an_error(
    error: Exception, attempt: int, expected: Again | Park
) -> None:
    assert outcome_of(error, attempt=attempt, policy=RetryPolicy()) == expected
