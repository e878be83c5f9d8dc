"""What 2x means: the same leader's work at 1x, and after a fall at 2x.

``python -m benchmarks.capacity``: a service whose steps wait (as for an answer of a model) or
compute in worker processes, taken by ``infra.work.Worker`` as services do; one minute.
"""

import asyncio
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import connection
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, save, show
from infra.ports import Context, Term
from infra.work import Worker
from phoenix.group import Release
from tests.phoenix.running import Running, running_group
from tests.support.nats import Server, running_server

WAIT_S = 0.05
TURNS = 3_000_000
MEASURE_S = 10.0


def compute() -> int:
    """A CPU-heavy step of some 100 ms."""
    total = 0
    for number in range(TURNS):
        total += number & 7
    return total


def end_with_parent() -> None:
    """A worker process of a killed instance would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


class Capacity:
    """Its leader always has work; ``capacity`` slots take it."""

    name = "tiny"
    version = "1"
    tier = 2
    features: Sequence[str] = ()
    dependencies: Sequence[str] = ()
    tables: Sequence[Any] = ()
    open_writes = True

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.done = 0

    def routes(self) -> Sequence[Any]:
        return ()

    def figures(self) -> Mapping[str, object]:
        return {"done": self.done, "at": time.monotonic()}

    async def lead(self, term: Term) -> None:
        numbers = count()

        def find() -> Iterable[int]:
            return [next(numbers) for _ in range(16)]

        async def park(item: int, term: Term, reason: str) -> None:
            raise RuntimeError(reason)

        async def step(item: int, term: Term) -> int | None:
            await self._step()
            self.done += 1
            return None

        worker = Worker(
            views=self._ctx.views,
            find=find,
            key=str,
            step=step,
            park=park,
            capacity=self._ctx.capacity,
        )
        await worker.run(term)

    async def _step(self) -> None:
        await asyncio.sleep(WAIT_S)


class Computing(Capacity):
    """The same with steps in worker processes, as many as there are slots."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        context = multiprocessing.get_context("forkserver")
        self._pool = ProcessPoolExecutor(
            ctx.capacity, mp_context=context, initializer=end_with_parent
        )

    async def _step(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, compute)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def waiting(ctx: Context) -> Capacity:
    return Capacity(ctx)


def computing(ctx: Context) -> Computing:
    return Computing(ctx)


async def per_s(running: Running) -> tuple[int, float]:
    """The leader's capacity and how many steps it does a second."""
    await running.whole(within_s=30)
    leader = running.group.leader
    assert leader is not None
    slot = min(leader.slots)
    while (first := await running.health(slot))["done"] == 0 or first["role"] != "active":  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await asyncio.sleep(MEASURE_S)
    last = await running.health(slot)
    assert last["pid"] == first["pid"] == leader.pid
    return last["capacity"], (last["done"] - first["done"]) / (last["at"] - first["at"])


async def measure(server: Server, kind: str) -> list[Figure]:
    release = Release(reference=f"benchmarks.capacity:{kind}", version="1")
    async with running_group(server, release) as running:
        capacity, once = await per_s(running)
        assert capacity == 1
        assert running.group.leader is not None
        os.kill(running.group.leader.pid, signal.SIGKILL)
        while running.group.whole:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        capacity, twice = await per_s(running)
        assert capacity == 2
    one = Figure(f"{kind} steps, leader at 1x", once, "steps/s")
    two = Figure(
        f"{kind} steps, promoted leader at 2x",
        twice,
        "steps/s",
        against=one.name,
        ratio=twice / once,
    )
    return [one, two]


def main() -> None:
    lines: list[Figure] = []
    for kind in ("waiting", "computing"):
        with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
            lines += asyncio.run(measure(server, kind))
    show("Capacity", lines)
    save("capacity", lines)


if __name__ == "__main__":
    main()
