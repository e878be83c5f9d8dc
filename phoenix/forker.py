"""The launcher's side of the fork server: start instances, see them end, replace the zygote.

Death       of an instance is seen through a pidfd: at once, whoever its parent is by then.
Orphans     if the zygote dies, its children go on; this process is their subreaper.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import structlog

from domain.errors import PhoenixError
from phoenix.zygote import MESSAGE_BYTES

READY_S = 60.0
SPAWN_S = 10.0
STATUS_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
_RESTART_PAUSE_S = 0.5

_log = structlog.get_logger(__name__)


class ForkFailed(PhoenixError):
    """No instance could be forked in time."""


class Process:
    """One forked instance. ``ended`` resolves to its exit status (-n: signal n; None: unknown)."""

    def __init__(self, pid: int, on_end: Callable[[], None]) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._on_end = on_end
        self._fd: int | None = None
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to wait for the end; a process that is gone already ends at once."""
        loop = asyncio.get_running_loop()
        try:
            self._fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            loop.call_soon(self._gone)
            return
        loop.add_reader(self._fd, self._gone)

    def signal(self, number: int) -> None:
        """Send a signal to this process and never to another that got its number."""
        if self._fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    @property
    def alive(self) -> bool:
        return not self.ended.done() and self._task is None

    def _gone(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
        if self._task is None:
            self._task = asyncio.create_task(self._find_status())
            self._on_end()

    async def _find_status(self) -> None:
        status: int | None = None
        try:
            # Does not block; the child is ours only if the zygote died before it.
            pid, raw = os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222
            if pid:
                status = os.waitstatus_to_exitcode(raw)
        except ChildProcessError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_S):
                    status = await self.status
        self.ended.set_result(status)


class Forker:
    """Keeps one zygote running and forks instances from it."""

    def __init__(self, env: Mapping[str, str], *, errors: Path | None = None) -> None:
        """``errors`` takes what the zygote and its children write to stderr."""
        self._env = {**os.environ, **env}
        self._errors = errors
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = asyncio.Event()
        self._spawning: dict[int, asyncio.Future[int]] = {}
        self._processes: dict[int, Process] = {}
        self._ids = 0
        self._stopping = False
        self._restart: asyncio.Task[None] | None = None
        self.restarts = 0
        self.threads = 0

    @property
    def pid(self) -> int:
        return self._zygote.pid if self._zygote else 0

    def start(self) -> None:
        """Start preloading; ``spawn`` waits for it."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._stderr() as stderr:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "phoenix.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                env=self._env,
                start_new_session=True,  # Ctrl-C in the terminal is for the launcher
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._readable)

    async def spawn(
        self, spec: dict[str, Any], fds: Sequence[int], on_end: Callable[[], None]
    ) -> Process:
        """Fork an instance; ``fds``: its end of the control socket, then the listening sockets.

        Raises:
            ForkFailed: the zygote did not do it in time.
        """
        try:
            async with asyncio.timeout(READY_S):
                await self._ready.wait()
            assert self._control is not None
            self._ids += 1
            future = self._spawning[self._ids] = asyncio.get_running_loop().create_future()
            request = json.dumps({"spawn": self._ids, "spec": spec}).encode()
            socket.send_fds(self._control, [request], list(fds))
            async with asyncio.timeout(SPAWN_S):
                pid = await future
        except (TimeoutError, OSError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and not self._zygote_gone():
                raise
            raise ForkFailed(f"the fork server does not answer: {error!r}") from error
        process = self._processes[pid] = Process(pid, on_end)
        process.ended.add_done_callback(lambda _: self._processes.pop(pid, None))
        process.watch()
        return process

    async def stop(self) -> None:
        """End the zygote; the instances are ended before by their groups."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
        self._disconnect()
        zygote = self._zygote
        if zygote is not None:
            try:
                await asyncio.to_thread(zygote.wait, 2.0)
            except subprocess.TimeoutExpired:
                zygote.kill()
                await asyncio.to_thread(zygote.wait)

    def _stderr(self) -> "contextlib.AbstractContextManager[IO[bytes] | None]":
        if self._errors is None:
            return contextlib.nullcontext()
        self._errors.parent.mkdir(parents=True, exist_ok=True)
        return open(self._errors, "ab")

    def _zygote_gone(self) -> bool:
        return self._control is None

    def _readable(self) -> None:
        assert self._control is not None
        while True:
            try:
                data = self._control.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._answered(json.loads(data))

    def _answered(self, answer: dict[str, Any]) -> None:
        match answer:
            case {"ready": threads}:
                self.threads = threads
                if threads > 1:
                    _log.warning("zygote_has_threads", threads=threads)
                self._ready.set()
            case {"spawned": number, "pid": pid}:
                future = self._spawning.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(pid)
            case {"exited": pid, "status": status}:
                process = self._processes.get(pid)
                if process is not None and not process.status.done():
                    process.status.set_result(status)

    def _lost(self) -> None:
        self._disconnect()
        for future in self._spawning.values():
            future.cancel()
        self._spawning.clear()
        if not self._stopping:
            _log.warning("zygote_died", restarts=self.restarts)
            self._restart = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        if self._zygote is not None:
            if self._zygote.poll() is None:
                self._zygote.kill()  # alive but deaf
            await asyncio.to_thread(self._zygote.wait)
        await asyncio.sleep(_RESTART_PAUSE_S if self.restarts else 0)
        self.restarts += 1
        self.start()

    def _disconnect(self) -> None:
        self._ready.clear()
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
