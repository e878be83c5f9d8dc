"""Threads that wait for one batch wake one another; one that leaves holds nobody up."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from infra.eventsourcing_jetstream.hub import LOOK_S, Hub, Target

THREADS = 20


class Ask:
    """Implements ``hub.Quick``: answered when the test says so."""

    def __init__(self, batch: "Batch", number: int) -> None:
        self.batch, self.number = batch, number

    def begin(self) -> "asyncio.Future[int]":
        return self.batch.join()

    def value(self, answer: int) -> int:
        if self.number == 7:
            raise ValueError("not this one")
        return answer + self.number

    async def rest(self, error: BaseException | None) -> int:
        raise NotImplementedError


class Batch:
    def __init__(self) -> None:
        self._answers: list[asyncio.Future[int]] = []
        self._joined = threading.Condition()

    def join(self) -> "asyncio.Future[int]":
        with self._joined:
            self._answers.append(asyncio.get_running_loop().create_future())
            self._joined.notify_all()
            return self._answers[-1]

    def reached(self, size: int) -> bool:
        with self._joined:
            return self._joined.wait_for(lambda: len(self._answers) >= size, 5)

    def answer(self) -> None:
        for answer in self._answers:
            answer.set_result(100)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub(Target("nats://127.0.0.1:1", "", 1.0))
    made.join()
    yield made
    made.leave([])
    made.thread.join(5)


def test_each_thread_gets_its_own_answer_and_its_own_error(hub: Hub) -> None:
    for _ in range(20):
        batch = Batch()
        with ThreadPoolExecutor(THREADS) as pool:
            waiting = [pool.submit(hub.quick, Ask(batch, n)) for n in range(THREADS)]
            assert batch.reached(THREADS)
            hub.soon(batch.answer)
            for number, future in enumerate(waiting):
                if number == 7:
                    with pytest.raises(ValueError, match="not this one"):
                        future.result(5)
                else:
                    assert future.result(5) == 100 + number
    assert hub._coming is None


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Started in a shell's background, this process would ignore the signal, and wait forever."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_thread_does_not_hold_up_those_behind_it(hub: Hub) -> None:
    batch, half = Batch(), THREADS // 2

    def call() -> int:
        return hub.quick(Ask(batch, 0))

    with ThreadPoolExecutor(THREADS + 1) as pool:
        before = [pool.submit(call) for _ in range(half)]
        assert batch.reached(half)

        def interrupt() -> "list[Future[int]]":
            assert batch.reached(half + 1)
            after = [pool.submit(call) for _ in range(half)]
            assert batch.reached(2 * half + 1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return after

        interrupting = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            call()
        hub.soon(batch.answer)
        for future in before + interrupting.result(5):
            assert future.result(LOOK_S / 2) == 100
