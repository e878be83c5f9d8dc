"""The launcher's side of the fork server: start instances, see them end, replace the fork server.

Death       of a process is seen through a pidfd: at once, whoever its parent is by then.
Handed over what must outlive this process is with the fork server as well (``phoenix.keeper``): one
            that takes the place of a dead or an outdated one is given everything again.
Orphans     if the fork server dies, its children go on; this process is their subreaper.
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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from domain.errors import PhoenixError
from phoenix.keeper import FDS_MAX, MESSAGE_BYTES
from phoenix.takeover import Inheritance, KeptInstance, KeptProgram

READY_S = 60.0
SPAWN_S = 10.0
STATUS_S = 1.0
END_S = 2.0
EXIT_UNKNOWN = 255
_PR_SET_CHILD_SUBREAPER = 36
_RESTART_PAUSE_S = 0.5

_log = structlog.get_logger(__name__)


class ForkFailed(PhoenixError):
    """No process could be started in time."""


class Process:
    """One started process. ``ended`` resolves to its exit status (-n: signal n; None: unknown).

    ``about`` is what a fork server is told to keep it by, ``channel`` the end that goes with it.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        about: dict[str, Any],
        *,
        channel: socket.socket | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.pid = pid
        self.about = about
        self.channel = channel
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.status: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._on_end = on_end
        self._fd: int | None = pidfd
        self._task: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_reader(pidfd, self._gone)

    def tell(self, on_end: Callable[[], None]) -> None:
        """Call this at its end; soon, if it has ended already."""
        self._on_end = on_end
        if self._task is not None:
            asyncio.get_running_loop().call_soon(on_end)

    def signal(self, number: int) -> None:
        """Send a signal to this process and never to another that got its number."""
        if self._fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    @property
    def alive(self) -> bool:
        return not self.ended.done() and self._task is None

    @property
    def fds(self) -> list[int]:
        """What a fork server needs to keep it; empty when there is nothing to keep."""
        if self._fd is None:
            return []
        if self.channel is None:
            return [self._fd]
        return [] if self.channel.fileno() < 0 else [self._fd, self.channel.fileno()]

    # As ``asyncio.subprocess.Process``:

    @property
    def returncode(self) -> int | None:
        if not self.ended.done():
            return None
        status = self.ended.result()
        return EXIT_UNKNOWN if status is None else status

    async def wait(self) -> int:
        status = await asyncio.shield(self.ended)
        return EXIT_UNKNOWN if status is None else status

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

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
            # Does not block; the child is ours only if the fork server died before it.
            pid, raw = os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222
            if pid:
                status = os.waitstatus_to_exitcode(raw)
        except ChildProcessError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_S):
                    status = await self.status
        self.ended.set_result(status)


@dataclass(slots=True)
class _Server:
    """A running fork server: started here, or taken over with what it keeps."""

    pid: int
    child: "subprocess.Popen[bytes] | None" = None
    pidfd: int = -1

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    async def wait(self, bound_s: float) -> bool:
        """Whether it has ended within the bound."""
        if self.child is not None:
            try:
                await asyncio.to_thread(self.child.wait, bound_s)
            except subprocess.TimeoutExpired:
                return False
            return True
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.pidfd, ended.set)
        try:
            async with asyncio.timeout(bound_s):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self.pidfd)
        return True


class Forker:
    """Keeps one fork server running and starts processes from it.

    ``path`` is where another launcher finds the fork server if this process is killed ("": nowhere,
    everything ends with this process); ``world`` says what its instances run, and how, ``nats``
    with which server.
    ``errors`` takes what it and its children write to stderr.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        errors: Path | None = None,
        path: str = "",
        world: str = "",
        nats: str = "",
    ) -> None:
        self._env = {**os.environ, **env}
        self._errors = errors
        self._about = {"path": path, "world": world, "nats": nats}
        self._server: _Server | None = None
        self._control: socket.socket | None = None
        self._ready = asyncio.Event()
        self._connected = asyncio.Event()
        self._asked: dict[int, asyncio.Future[tuple[int, int]]] = {}  # pid, pidfd
        self._dropping: dict[str, asyncio.Future[None]] = {}
        self._ports: dict[str, tuple[tuple[int, ...], Sequence[socket.socket]]] = {}
        self._processes: dict[int, Process] = {}
        self._taken_over: dict[int, Process] = {}
        self._slots: dict[int, tuple[int, ...]] = {}
        self._ids = 0
        self._stopping = False
        self._restart: asyncio.Task[None] | None = None
        self.restarts = 0
        self.threads = 0

    @property
    def pid(self) -> int:
        return self._server.pid if self._server else 0

    def start(self) -> None:
        """Start preloading; ``spawn`` waits for it."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        about = json.dumps(self._about)
        with theirs, self._stderr() as stderr:
            zygote = subprocess.Popen(
                [sys.executable, "-m", "phoenix.zygote", str(theirs.fileno()), about],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=None if stderr is None else stderr,  # a terminal may be gone before it is
                stderr=stderr,
                env=self._env,
                start_new_session=True,  # Ctrl-C in the terminal is for the launcher
            )
        self._server = _Server(zygote.pid, child=zygote)
        ours.setblocking(False)
        self._connect(ours)
        for service in self._ports:
            self._give_ports(service)
        for process in self._processes.values():
            if process.fds:
                self._tell({"hold": process.pid, "about": process.about}, process.fds)
                self.serves(process.pid, self._slots.get(process.pid, ()))

    def take_over(self, left: Inheritance) -> dict[str, Process]:
        """Go on with what a killed launcher left; return the programs that run. The instances are
        gone on with one by one (``resume``).

        A fork server of another world is replaced: it would start yesterday's code.
        """
        for service, listeners in left.listeners.items():
            self._ports[service] = (left.ports[service], listeners)
        self._server = _Server(left.keeper_pid, pidfd=left.keeper_fd)
        self._connect(left.control)
        self.threads = left.threads
        self._ready.set()
        for kept in left.instances:
            if kept.channel is not None:
                about = {"spec": kept.spec.wire()}
                process = Process(kept.pid, kept.pidfd, about, channel=kept.channel)
                self._taken_over[kept.pid] = self._known(process)
        return {name: self._resume_program(kept) for name, kept in left.programs.items()}

    async def renew(self) -> None:
        """Replace the fork server in order. Its instances go on, the programs end with it."""
        before = self._server
        self._tell({"end": True}, [])
        self._disconnect()
        if before is not None and not await before.wait(END_S):
            before.kill()
            await before.wait(END_S)
        self.start()

    def resume(self, kept: KeptInstance, on_end: Callable[[], None]) -> Process:
        """Go on with an instance that lived when it was taken over."""
        process = self._taken_over.pop(kept.pid)
        process.tell(on_end)
        return process

    def serves(self, pid: int, slots: Sequence[int]) -> None:
        """Let the fork server know where an instance is told to accept."""
        self._slots[pid] = tuple(slots)
        self._tell({"serves": list(slots), "pid": pid}, [])

    def forget(self, pid: int) -> None:
        """An end has had its consequences: nobody needs to be told of it again."""
        self._tell({"seen": pid}, [])

    def keep(self, service: str, ports: Sequence[int], listeners: Sequence[socket.socket]) -> None:
        """Let the fork server have a service's listening sockets; ``spawn`` passes them on."""
        if service not in self._ports:
            self._ports[service] = (tuple(ports), listeners)
            self._give_ports(service)

    async def drop(self, service: str) -> None:
        """Give a service's ports back: they are free when this returns."""
        if self._ports.pop(service, None) is None or self._control is None:
            return
        done = self._dropping[service] = asyncio.get_running_loop().create_future()
        self._tell({"drop": service}, [])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await done

    async def spawn(
        self,
        spec: dict[str, Any],
        theirs: socket.socket,
        ours: socket.socket,
        on_end: Callable[[], None],
    ) -> Process:
        """Fork an instance with the listening sockets of its service and its end of the channel.

        Raises:
            ForkFailed: the fork server did not do it in time.
        """
        fds = [theirs.fileno(), ours.fileno()]
        pid, pidfd = await self._ask("spawn", {"spec": spec}, fds, self._ready)
        return self._known(Process(pid, pidfd, {"spec": spec}, channel=ours, on_end=on_end))

    async def run(self, name: str, argv: Sequence[str]) -> Process:
        """Start another program, which goes on as long as the fork server does.

        Raises:
            ForkFailed: the fork server did not do it in time.
        """
        about = {"name": name, "argv": list(argv)}
        pid, pidfd = await self._ask("run", about, [], self._connected)
        return self._known(Process(pid, pidfd, about))

    async def stop(self) -> None:
        """End the fork server; the instances are ended before by their groups."""
        self._stopping = True
        if self._restart is not None:
            self._restart.cancel()
        self._tell({"end": True}, [])
        self._disconnect()
        if self._server is not None and not await self._server.wait(END_S):
            self._server.kill()
            await self._server.wait(END_S)
        if path := self._about["path"]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def leave(self) -> None:
        """Leave everything to the fork server, as if this process had been killed."""
        self._stopping = True
        self._disconnect()

    async def _ask(
        self, what: str, about: dict[str, Any], fds: Sequence[int], when: asyncio.Event
    ) -> tuple[int, int]:
        try:
            async with asyncio.timeout(READY_S):
                await when.wait()
            assert self._control is not None
            self._ids += 1
            future: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
            self._asked[self._ids] = future
            request = json.dumps({what: self._ids, **about}).encode()
            socket.send_fds(self._control, [request], list(fds))
            async with asyncio.timeout(SPAWN_S):
                return await future
        except (TimeoutError, OSError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and self._control is not None:
                raise
            raise ForkFailed(f"the fork server does not answer: {error!r}") from error

    def _known(self, process: Process) -> Process:
        self._processes[process.pid] = process

        def over(_: object) -> None:
            self._processes.pop(process.pid, None)
            self._slots.pop(process.pid, None)
            self.forget(process.pid)

        process.ended.add_done_callback(over)
        return process

    def _resume_program(self, kept: KeptProgram) -> Process:
        about = {"name": kept.name, "argv": list(kept.argv)}
        return self._known(Process(kept.pid, kept.pidfd, about))

    def _give_ports(self, service: str) -> None:
        numbers, listeners = self._ports[service]
        fds = [listener.fileno() for listener in listeners]
        self._tell({"ports": service, "numbers": list(numbers)}, fds)

    def _tell(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        if self._control is not None:
            try:
                socket.send_fds(self._control, [json.dumps(message).encode()], list(fds))
            except OSError as error:  # it is gone (its end is read next) or deaf: replaced
                _log.warning("zygote_not_told", what=next(iter(message)), error=str(error))
                if self._server is not None:
                    self._server.kill()

    def _connect(self, control: socket.socket) -> None:
        self._control = control
        self._connected.set()
        asyncio.get_running_loop().add_reader(control, self._readable)

    def _stderr(self) -> "contextlib.AbstractContextManager[IO[bytes] | None]":
        if self._errors is None:
            return contextlib.nullcontext()
        self._errors.parent.mkdir(parents=True, exist_ok=True)
        return open(self._errors, "ab")

    def _readable(self) -> None:
        while self._control is not None:
            try:
                data, fds, _, _ = socket.recv_fds(
                    self._control, MESSAGE_BYTES, FDS_MAX, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._lost()
                return
            self._answered(json.loads(data), fds)

    def _answered(self, answer: dict[str, Any], fds: list[int]) -> None:
        match answer:
            case {"ready": threads}:
                self.threads = threads
                if threads > 1:
                    _log.warning("zygote_has_threads", threads=threads)
                self._ready.set()
            case {"spawned": number, "pid": pid}:
                future = self._asked.pop(number, None)
                if future is not None and not future.done():
                    future.set_result((pid, fds[0]))
                    return
                with contextlib.suppress(ProcessLookupError):  # too late: nobody waits for it
                    signal.pidfd_send_signal(fds[0], signal.SIGKILL)
                os.close(fds[0])
            case {"exited": pid, "status": status}:
                process = self._processes.get(pid)
                if process is None:
                    self.forget(pid)
                elif not process.status.done():
                    process.status.set_result(status)
            case {"dropped": service} if service in self._dropping:
                self._dropping.pop(service).set_result(None)

    def _lost(self) -> None:
        self._disconnect()
        for future in self._asked.values():
            future.cancel()
        self._asked.clear()
        if not self._stopping:
            _log.warning("zygote_died", restarts=self.restarts)
            self._restart = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        if self._server is not None:
            self._server.kill()  # if it is alive but deaf
            await self._server.wait(READY_S)
        await asyncio.sleep(_RESTART_PAUSE_S if self.restarts else 0)
        self.restarts += 1
        self.start()

    def _disconnect(self) -> None:
        self._ready.clear()
        self._connected.clear()
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
