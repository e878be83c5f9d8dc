"""One background event loop and one connection a server, shared by every recorder of a process.

The library is synchronous and recorders are used from any thread: each call hands its work to the
loop's thread and waits. A ``Lease`` keeps the hub alive; the last one to go ends it. Ending never
waits for the thread, so an application may be garbage-collected anywhere, on the loop's own
thread too.
"""

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from eventsourcing.persistence import (
    InterfaceError,
    OperationalError,
    ProgrammingError,
)

from domain.errors import LogRefused, TransientError
from infra.nats.connection import Connection, connect

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
EXIT_WAIT_S = 1.0
LOOK_S = 5.0  # how often a waiting call sees whether the loop is still there
HANDED_MAX = 16  # calls that wait for others before the loop is woken
COMING_S = 0.005  # and so long at most after a batch's answer do new ones wait


class Target(NamedTuple):
    """Which server, and as whom."""

    url: str
    creds: str
    timeout_s: float


class _Call(Generic[T]):
    """Work on its way to the loop and back. A bare lock, because a ``Future`` costs four times.

    ``following`` is the call whose thread is woken by this one's; see ``Hub._wake``.
    """

    may_wait = False  # for others, to be handed over together
    __slots__ = ("done", "error", "finished", "following", "left", "task", "value", "work")

    def __init__(self, work: Coroutine[Any, Any, T] | None) -> None:
        self.work = work
        self.value: T
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.following: _Call[Any] | None = None
        self.finished = False
        self.left = False  # nobody waits for it any more
        self.done = threading.Lock()
        self.done.acquire()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.task = loop.create_task(self._run())

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """It will not run any more."""
        if self.work is not None:
            self.work.close()

    async def _run(self) -> None:
        assert self.work is not None
        try:
            self.value = await self.work
        except BaseException as error:  # whatever it is, it is the caller's
            self.error = error
        finally:
            self.done.release()


class Quick(Protocol[T_co]):
    """Work that usually needs one answer and no task of its own; all of it runs on the loop."""

    def begin(self) -> "asyncio.Future[Any] | None":
        """Send at once and return the answer to come; None if that is not possible now."""

    def value(self, answer: Any) -> T_co:
        """What the answer means."""

    async def rest(self, error: BaseException | None) -> T_co:
        """The long way: from the start (None), or after an answer that was an error."""


class _QuickCall(_Call[T]):
    __slots__ = ("loop", "quick", "wake")
    may_wait = True

    def __init__(self, quick: Quick[T], wake: "Callable[[_Call[Any]], None]") -> None:
        super().__init__(None)
        self.quick = quick
        self.wake = wake

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        try:
            answer = self.quick.begin()
        except Exception as error:
            self._long_way(error)
            return
        if answer is None:
            self._long_way(None)
        else:
            answer.add_done_callback(self._answered)

    def _answered(self, answer: "asyncio.Future[Any]") -> None:
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if error is not None:
            self._long_way(error)
            return
        try:
            self.value = self.quick.value(answer.result())
        except Exception as wrong:
            self.error = wrong
        self.wake(self)

    def _long_way(self, error: BaseException | None) -> None:
        self.work = self.quick.rest(error)
        super().start(self.loop)


class Hub:
    """A loop in a daemon thread with a connection, made when it is first needed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._users = 0
        self._ended = False
        self._handed: deque[_Call[Any]] = deque()
        self._woken = False
        self._finished: list[_Call[Any]] = []
        self._coming: _Call[Any] | None = None  # the last of the threads that wake one another
        self._coming_until = 0.0
        self._nc: Connection | None = None
        self._connecting = asyncio.Lock()
        # The thread knows the loop only: nothing keeps the hub alive but its users.
        self.thread = threading.Thread(
            target=_run, args=(self.loop,), name="eventsourcing-nats", daemon=True
        )
        self.thread.start()

    @property
    def alive(self) -> bool:
        return not self._ended and self._pid == os.getpid()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the loop and return what it returns.

        Raises:
            OperationalError: the server is away, refuses, or did not answer in time.
            InterfaceError: closed.
            ProgrammingError: called on the loop's own thread, which would wait for itself.
        """
        return self._do(_Call(work))

    def quick(self, work: Quick[T]) -> T:
        """As ``call``, for work that usually is one message and its answer."""
        return self._do(_QuickCall(work, self._wake_soon))

    def _do(self, handed: _Call[T]) -> T:
        if threading.get_ident() == self.thread.ident:
            handed.close()
            raise ProgrammingError("recorders cannot be used on their own event loop's thread")
        if not self.alive:
            handed.close()
            raise InterfaceError("the connection has been closed")
        try:
            self._hand_over(handed)
            return self._result(handed)
        except asyncio.CancelledError as error:
            raise InterfaceError("the connection was closed meanwhile") from error
        except (TransientError, LogRefused) as error:
            raise OperationalError(str(error)) from error
        except KeyboardInterrupt:
            self.soon(lambda: self._leave_off(handed))
            raise

    def _hand_over(self, handed: "_Call[Any]") -> None:
        """Wake the loop once for many calls: waking it is most of the cost. While threads come
        back from a batch, it is the last of them that does.
        """
        self._handed.append(handed)
        if (
            not handed.may_wait
            or self._coming is None
            or len(self._handed) >= HANDED_MAX
            or time.monotonic() > self._coming_until
        ):
            self._wake_loop()

    def _wake_loop(self) -> None:
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._take_over)
            except RuntimeError as error:  # the loop closed in this moment
                raise asyncio.CancelledError from error

    def _take_over(self) -> None:
        self._woken = False  # first: whoever comes now wakes it again
        while self._handed:
            self._handed.popleft().start(self.loop)

    def _wake_soon(self, call: "_Call[Any]") -> None:
        if not self._finished:
            self.loop.call_soon(self._wake)
        self._finished.append(call)

    def _wake(self) -> None:
        """Wake the threads that one batch has answered, each by the one before it: all at once
        they would only fight for the interpreter's lock, with this loop's thread among them.
        """
        calls, self._finished = [call for call in self._finished if not call.left], []
        for call, following in pairwise(calls):
            call.following = following
        for call in calls:
            call.finished = True
        if len(calls) > 1:
            self._coming, self._coming_until = calls[-1], time.monotonic() + COMING_S
        if calls:
            calls[0].done.release()

    def _pass_on(self, call: "_Call[Any]") -> None:
        following, call.following = call.following, None
        if following is not None:
            following.done.release()
        elif call is self._coming:
            self._coming = None
            if self._handed:
                with contextlib.suppress(asyncio.CancelledError):  # those who wait will see it
                    self._wake_loop()

    def _leave_off(self, call: "_Call[Any]") -> None:
        call.cancel()
        call.left = True
        self._pass_on(call)

    def _result(self, handed: "_Call[T]") -> T:
        while not handed.done.acquire(timeout=LOOK_S):
            if handed.finished:  # the one who should have told us was interrupted just then
                break
            if not self.thread.is_alive():  # ended in the moment of the call
                handed.close()
                raise asyncio.CancelledError
        self._pass_on(handed)
        if handed.error is not None:
            try:
                raise handed.error
            finally:
                handed.error = None  # its traceback knows this frame
        return handed.value

    def soon(self, work: Callable[[], None]) -> None:
        """Do it on the loop, without waiting; nothing happens once it has ended."""
        if self.alive:
            with contextlib.suppress(RuntimeError):  # the loop closed in this moment
                self.loop.call_soon_threadsafe(work)

    async def connection(self) -> Connection:
        """The connection, on the loop.

        Raises:
            TransientError: no server answered in time.
            LogRefused: it refuses these credentials.
        """
        async with self._connecting:
            if self._nc is None:
                options: dict[str, Any] = {}
                if self.target.creds:
                    options["user_credentials"] = self.target.creds
                self._nc = await connect(
                    self.target.url.split(","),
                    name="eventsourcing",
                    timeout_s=self.target.timeout_s,
                    **options,
                )
            return self._nc

    def join(self) -> None:
        self._users += 1

    def leave(self, closing: "list[Callable[[], Awaitable[None]]]") -> None:
        """One user less, with what it wants closed; the last one ends the loop."""
        with _registry_lock:
            self._users -= 1
            last = self._users <= 0
            if last and _registry.get(_key(self.target)) is self:
                del _registry[_key(self.target)]
        if not self.alive:
            return
        self.soon(lambda: _keep(self.loop.create_task(self._close(closing, end=last))))
        self._ended = last

    async def _close(self, closing: "list[Callable[[], Awaitable[None]]]", *, end: bool) -> None:
        for close in closing:
            with contextlib.suppress(Exception):
                await close()
        if not end:
            return
        if self._nc is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(EXIT_WAIT_S):
                    await self._nc.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.loop.stop()


class Lease:
    """A right to use the hub, given back by ``close`` or when it is garbage-collected."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self._end = weakref.finalize(self, hub.leave, self.closing)
        self._end.atexit = False  # at exit the hub ends everything at once

    @property
    def closed(self) -> bool:
        return not self._end.alive

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """As ``Hub.call``."""
        if self.closed:
            work.close()
            raise InterfaceError("closed: make a new application or factory")
        return self.hub.call(work)

    def quick(self, work: Quick[T]) -> T:
        """As ``Hub.quick``."""
        if self.closed:
            raise InterfaceError("closed: make a new application or factory")
        return self.hub.quick(work)

    def another(self) -> "Lease":
        """A lease of its own for something that may outlive this one."""
        return lease(self.hub.target)

    def close(self) -> None:
        """Give it back, once; returns at once on any thread."""
        self._end()


_registry: dict[tuple[int, Target], Hub] = {}
_registry_lock = threading.RLock()  # a finalizer may run inside it, on the same thread
_tasks: set["asyncio.Task[None]"] = set()


def lease(target: Target) -> Lease:
    """A lease on the one hub that this process has for the target."""
    with _registry_lock:
        hub = _registry.get(_key(target))
        if hub is None or not hub.alive:
            hub = _registry[_key(target)] = Hub(target)
        hub.join()
    return Lease(hub)


def _key(target: Target) -> tuple[int, Target]:
    return os.getpid(), target  # threads do not survive a fork: a child starts its own


def _keep(task: "asyncio.Task[None]") -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


@atexit.register
def _at_exit() -> None:
    with _registry_lock:
        hubs = [hub for hub in _registry.values() if hub.alive]
        _registry.clear()
    for hub in hubs:
        hub._users = 1
        hub.leave([])
        hub.thread.join(EXIT_WAIT_S)
