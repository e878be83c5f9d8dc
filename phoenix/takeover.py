"""What a killed launcher has left behind and its fork server kept: to look at, or to take over.

Found       by connecting to the fork server's socket in the data directory: whoever answers there
            has held everything since it was started. No file names a process, no number is trusted:
            sockets, channels and processes (pidfds) are handed over themselves.
"""

import fcntl
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.errors import PhoenixError
from phoenix import remote
from phoenix.keeper import FDS_MAX, MESSAGE_BYTES
from phoenix.spec import InstanceSpec

ANSWER_S = 15.0  # it may still be loading what it forks from


class NotTaken(PhoenixError):
    """A fork server is there, but does not hand over what it keeps."""


@dataclass(frozen=True, slots=True)
class KeptInstance:
    """``ended_at``: seconds since the epoch; 0: it lives (then it has a pidfd and a channel)."""

    spec: InstanceSpec
    pid: int
    pidfd: int
    channel: socket.socket | None
    ended_at: float
    status: int | None


@dataclass(frozen=True, slots=True)
class KeptProgram:
    name: str
    argv: tuple[str, ...]
    pid: int
    pidfd: int


@dataclass(slots=True)
class Inheritance:
    """``world``: what the instances run and with which settings, as their launcher saw it;
    ``nats``: the server that they use, as a digest."""

    control: socket.socket
    keeper_pid: int
    keeper_fd: int
    world: str
    nats: str
    threads: int
    alone_s: float
    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    listeners: dict[str, list[socket.socket]] = field(default_factory=dict)
    instances: list[KeptInstance] = field(default_factory=list)
    programs: dict[str, KeptProgram] = field(default_factory=dict)

    def of(self, service: str) -> list[KeptInstance]:
        return [kept for kept in self.instances if kept.spec.service == service]

    def close(self) -> None:
        """Leave everything with the fork server, as it was."""
        self.control.close()
        for listener in (one for several in self.listeners.values() for one in several):
            listener.close()
        for kept in self.instances:
            if kept.channel is not None:
                kept.channel.close()
        pidfds = [kept.pidfd for kept in self.instances]
        pidfds += [kept.pidfd for kept in self.programs.values()]
        for fd in (self.keeper_fd, *pidfds):
            if fd >= 0:
                os.close(fd)


def keeper_path(data_dir: Path, lock: str) -> Path:
    return remote.socket_path(data_dir, f"{lock}-keeper.sock")


def take(data_dir: Path, lock: str) -> Inheritance | None:
    """Become the launcher of what is left; None when nothing is.

    Raises:
        NotTaken: something is, but it does not answer.
    """
    path = keeper_path(data_dir, lock)
    with _refusals(path):
        control = _asked(path, "take")
        return None if control is None else _received(control)


def abandoned(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the instances that go on without their launchers (their specs, each with its
    ``pid``), by the lock of the launcher that each of them had.

    Raises:
        NotTaken: something is left, but it does not answer.
    """
    locks = [path.stem for path in sorted(data_dir.glob("launcher*.lock")) if not _held(path)]
    return {lock: left for lock in locks if (left := _look(data_dir, lock))}


def _held(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _look(data_dir: Path, lock: str) -> list[dict[str, Any]]:
    """Only for when no launcher runs: a fork server that has one does not answer."""
    path = keeper_path(data_dir, lock)
    with _refusals(path):
        control = _asked(path, "look")
        if control is None:
            return []
        with control:
            return [
                {**message["about"]["spec"], "pid": message["kept"]}
                for message, _ in _messages(control)
                if "kept" in message and "spec" in message["about"] and not message["ended_at"]
            ]


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise NotTaken(
            f"the fork server behind {path} does not hand over what it keeps: {error!r}"
        ) from error


def _asked(path: Path, what: str) -> socket.socket | None:
    """The connection on which the answer comes; None when nobody is there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    connection.send(json.dumps({what: True}).encode())
    return connection


def _received(control: socket.socket) -> Inheritance:
    raw = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    if uid != os.getuid():
        raise PermissionError(f"process {pid} belongs to another user")
    keeper_fd = os.pidfd_open(pid)  # it lives: what it says on this connection comes after this
    messages = _messages(control)
    hello, _ = next(messages)
    about = hello["keeper"]
    left = Inheritance(
        control, pid, keeper_fd, about["world"], about["nats"], hello["threads"], hello["alone_s"]
    )
    for message, fds in messages:
        _add(left, message, fds)
    control.setblocking(False)
    return left


def _messages(connection: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """All it tells, up to its last word.

    Raises:
        OSError: it went away before.
    """
    while True:
        data, fds, _, _ = socket.recv_fds(
            connection, MESSAGE_BYTES, FDS_MAX, socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise ConnectionResetError("it ended")
        message = json.loads(data)
        if "all" in message:
            return
        yield message, fds


def _add(left: Inheritance, message: dict[str, Any], fds: list[int]) -> None:
    match message:
        case {"ports": service, "numbers": numbers}:
            left.ports[service] = tuple(numbers)
            left.listeners[service] = [_listener(fd) for fd in fds]
        case {"kept": pid, "about": {"spec": spec}, "ended_at": ended_at, "status": status}:
            pidfd = fds[0] if fds else -1
            channel = socket.socket(fileno=fds[1]) if fds else None
            instance = InstanceSpec.model_validate(spec)
            left.instances.append(
                KeptInstance(instance, pid, pidfd, channel, float(ended_at), status)
            )
        case {"kept": pid, "about": {"name": name, "argv": argv}} if fds:
            left.programs[name] = KeptProgram(name, tuple(argv), pid, fds[0])


def _listener(fd: int) -> socket.socket:
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)  # the flag is the open socket's: instances accept on it
    return listener
