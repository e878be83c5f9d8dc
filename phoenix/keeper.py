"""What the fork server keeps so that a killed launcher costs nothing, and how it gives it on.

Keeps       the listening sockets, the launcher's end of every control channel (so no instance sees
            that a launcher ended) and a pidfd of every process (so no number is ever trusted).
From the    ``spawn`` (+ both ends of a control channel), ``run`` (another program), ``ports`` (+
launcher    the listening sockets of a service), ``drop`` (a service), ``hold`` (+ what another fork
            server kept), ``serves`` (an instance some slots), ``seen`` (an end), ``end``. One
            SEQPACKET message each, JSON.
To the      ``ready`` once preloaded, ``spawned`` (+ pidfd), ``exited`` (as
launcher    ``os.waitstatus_to_exitcode``; None: unknown), ``dropped``.
Alone       it tells the survivors who fell and where that one accepted, so that one of them leads
            at once and no port is left alone; it starts nothing but a program that ended. It ends
            with the last instance.
Taken over  who connects to its socket (mode 0600, same user) and says ``take`` is the launcher from
            then on and gets everything; ``look`` gets the list only. Never two at once.
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

MESSAGE_BYTES = 64 * 1024
FDS_MAX = 16
ASKED_S = 1.0
REVIVALS_MAX = 10  # of programs, each time it is left alone
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# (spec, control channel and listening sockets): becomes an instance
Child = Callable[[dict[str, Any], Sequence[int]], NoReturn]


@dataclass(slots=True)
class Kept:
    """One process. An instance has a spec and a channel, another program what runs it."""

    pid: int
    pidfd: int
    about: dict[str, Any]  # {"spec": ...} or {"name": ..., "argv": ...}
    channel: int = -1
    ours: bool = True  # a child of this process
    ended_at: float = 0.0  # seconds since the epoch; 0: it lives
    status: int | None = None
    slots: tuple[int, ...] = ()  # where an instance was told to accept

    @property
    def fds(self) -> list[int]:
        return [fd for fd in (self.pidfd, self.channel) if fd >= 0]

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.about.get("spec", {})
        return spec


class Keeper:
    """``serve`` never returns. ``path`` is where another launcher finds it; "": nowhere, it ends
    with the one that started it."""

    def __init__(self, control: socket.socket, path: str, about: dict[str, Any]) -> None:
        self._control: socket.socket | None = control
        self._about = about
        self._door = _door(path) if path else None
        self._ports: dict[str, tuple[list[int], list[int]]] = {}  # numbers, sockets
        self._kept: dict[int, Kept] = {}
        self._alone_since = 0.0
        self._revivals = 0
        self._wakeup, self._waker = os.pipe()
        self._threads = 1
        if sys.platform == "linux":  # what an instance leaves behind is buried here
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def serve(self, child: Child, threads: int) -> NoReturn:
        self._child, self._threads = child, threads
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._tell({"ready": threads})
        self._reap()  # what ended before anybody listened
        while True:
            ready = self._wait()
            if self._wakeup in ready:
                _drain(self._wakeup)
                self._reap()
            for kept in [k for k in self._kept.values() if not k.ours and k.pidfd in ready]:
                self._ended(kept, None)
            if self._control is not None:
                if self._control.fileno() in ready:
                    self._hear()
            elif self._door is not None and self._door.fileno() in ready:
                self._admit(self._door)

    def hear_waiting(self) -> None:
        """Do what was asked before there was anything to fork from (programs, sockets)."""
        while self._control is not None and select.select([self._control], [], [], 0)[0]:
            self._hear()

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        for kept in self._kept.values():
            if not kept.ours and not kept.ended_at:
                poll.register(kept.pidfd, select.POLLIN)
        source = self._control or self._door
        if source is not None:
            poll.register(source, select.POLLIN)
        return {fd for fd, _ in poll.poll()}

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data, fds, _, _ = socket.recv_fds(
                self._control, MESSAGE_BYTES, FDS_MAX, socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            data, fds = b"", []
        if not data:
            self._left()
        else:
            self._do(json.loads(data), fds)

    def _do(self, request: dict[str, Any], fds: list[int]) -> None:
        match request:
            case {"spawn": number, "spec": spec}:
                self._spawn(number, spec, fds)
            case {"run": number, "name": name, "argv": argv}:
                kept = self._run(name, argv)
                self._tell({"spawned": number, "pid": kept.pid}, [kept.pidfd])
            case {"ports": service, "numbers": numbers}:
                self._drop(service)
                self._ports[service] = (numbers, fds)
            case {"drop": service}:
                self._drop(service)
                self._tell({"dropped": service})
            case {"hold": pid, "about": about}:
                self._kept[pid] = Kept(pid, fds[0], about, channel=(*fds, -1)[1], ours=False)
            case {"serves": slots, "pid": pid} if pid in self._kept:
                self._kept[pid].slots = tuple(slots)
            case {"seen": pid} if pid in self._kept and self._kept[pid].ended_at:
                del self._kept[pid]
            case {"end": _}:
                os._exit(0)

    def _spawn(self, number: int, spec: dict[str, Any], fds: list[int]) -> None:
        theirs, channel = fds
        listeners = self._ports[spec["service"]][1]
        pid = os.fork()
        if pid == 0:
            os.close(channel)  # or it would never see its end
            self._close_but(theirs, *listeners)
            self._child(spec, [theirs, *listeners])
        os.close(theirs)
        kept = self._kept[pid] = Kept(pid, os.pidfd_open(pid), {"spec": spec}, channel)
        self._tell({"spawned": number, "pid": pid}, [kept.pidfd])

    def _run(self, name: str, argv: list[str]) -> Kept:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(argv, parent)
        about = {"name": name, "argv": argv}
        kept = self._kept[pid] = Kept(pid, os.pidfd_open(pid), about)
        return kept

    def _close_but(self, *wanted: int) -> None:
        """In a child: have nothing that others must see the end of."""
        signal.set_wakeup_fd(-1)
        sockets = [s.detach() for s in (self._control, self._door) if s is not None]
        kept = [fd for k in self._kept.values() for fd in k.fds]
        listeners = [fd for _, fds in self._ports.values() for fd in fds]
        for fd in {self._wakeup, self._waker, *sockets, *kept, *listeners} - set(wanted):
            os.close(fd)

    def _drop(self, service: str) -> None:
        for fd in self._ports.pop(service, ([], []))[1]:
            os.close(fd)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._kept:
                self._ended(self._kept[pid], os.waitstatus_to_exitcode(status))

    def _ended(self, kept: Kept, status: int | None) -> None:
        kept.ended_at, kept.status = time.time(), status
        for fd in kept.fds:
            os.close(fd)
        kept.pidfd = kept.channel = -1
        if self._control is not None:
            self._tell({"exited": kept.pid, "status": status})
        else:
            self._stand_in(kept)

    def _stand_in(self, fallen: Kept) -> None:
        """Do what cannot wait for a launcher."""
        if not fallen.spec:
            del self._kept[fallen.pid]
            self._revivals += 1
            if self._revivals <= REVIVALS_MAX:
                self._run(fallen.about["name"], fallen.about["argv"])
        for kept in self._kept.values():
            if kept.channel >= 0 and kept.spec["service"] == fallen.spec.get("service"):
                _say(kept.channel, {"go": fallen.spec["incarnation"]}, {"share": fallen.slots})
        self._end_if_idle()

    def _left(self) -> None:
        """The launcher is gone."""
        assert self._control is not None
        self._control.close()
        self._control = None
        self._alone_since, self._revivals = time.time(), 0
        for kept in list(self._kept.values()):
            if kept.ended_at:  # it may not have come to do what follows from that
                self._stand_in(kept)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        lives = any(kept.spec and not kept.ended_at for kept in self._kept.values())
        if self._door is None or not lives:
            os._exit(0)  # the kernel ends the programs that run under this process

    def _admit(self, door: socket.socket) -> None:
        connection, _ = door.accept()
        try:
            connection.settimeout(ASKED_S)
            _same_user(connection)
            match json.loads(connection.recv(MESSAGE_BYTES)):
                case {"take": _}:
                    self._show(connection, hand_over=True)
                    connection.setblocking(True)
                    self._control = connection
                    return
                case {"look": _}:
                    self._show(connection, hand_over=False)
        except (OSError, ValueError):
            pass  # it went away, or is none of us
        connection.close()

    def _show(self, connection: socket.socket, *, hand_over: bool) -> None:
        def tell(message: dict[str, Any], fds: list[int]) -> None:
            data = [json.dumps(message).encode()]
            socket.send_fds(connection, data, fds if hand_over else [])

        alone_s = round(time.time() - self._alone_since, 1)
        hello = {"keeper": self._about, "threads": self._threads, "alone_s": alone_s}
        tell(hello, [])
        for service, (numbers, fds) in self._ports.items():
            tell({"ports": service, "numbers": numbers}, fds)
        for kept in self._kept.values():
            end = {"ended_at": kept.ended_at, "status": kept.status}
            tell({"kept": kept.pid, "about": kept.about, **end}, kept.fds)
        tell({"all": len(self._kept)}, [])

    def _tell(self, answer: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if self._control is None:
            return
        try:
            socket.send_fds(self._control, [json.dumps(answer).encode()], list(fds))
        except OSError:
            return  # its end is read next


def _door(path: str) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.path.lexists(path):
        os.unlink(path)
    before = os.umask(0o177)
    try:
        door.bind(path)
    finally:
        os.umask(before)
    door.listen(4)
    return door


def _same_user(connection: socket.socket) -> None:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", raw)[1] != os.getuid():
        raise OSError("another user")


def _say(channel: int, *messages: dict[str, Any]) -> None:
    """Speak for the launcher; the empty line ends what it may not have finished."""
    lines = b"".join(b"\n" + json.dumps(message).encode() for message in messages) + b"\n"
    try:
        os.write(channel, lines)
    except OSError:
        return  # it does not listen; the lease decides


def _become(argv: list[str], parent: int) -> NoReturn:
    """Run another program in this process; it ends with the fork server, in order."""
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_DFL)
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if os.getppid() == parent:
            os.execv(argv[0], argv)
    finally:
        os._exit(127)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 512):
            pass
    except BlockingIOError:
        return
