"""The fork server: one preloaded process without threads that forks every instance.

Requests    one SEQPACKET message each, JSON: ``{"spawn": id, "spec": {...}}`` with file descriptors
            (control socket first, then the listening sockets).
Answers     ``{"ready": threads}`` once preloaded, ``{"spawned": id, "pid": n}``,
            ``{"exited": pid, "status": n}`` (as ``os.waitstatus_to_exitcode``).
Components  a deployed part of this system whose shared code is not what was preloaded here is run
            by an interpreter of its own, from its artifact alone.
Invariants  it never starts a thread or an event loop, so forking it is safe; when its launcher is
            gone it ends, and every child learns of it.
"""

import ctypes
import gc
import importlib
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from infra.components import shared_digest

MESSAGE_BYTES = 64 * 1024
FDS_MAX = 16
PRELOAD = (
    "infra.http",
    "infra.nats.log",
    "infra.views",
    "litestar",
    "nats",
    "orjson",
    "pydantic",
    "structlog",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "domain.catalog",
    "phoenix.host",
    "eventsourcing.application",
)
_loaded = ""  # digest of the shared code, as it was when this process loaded it
END_S = 8  # an orphan that does not end by itself is ended by the kernel after this long

_PR_SET_PDEATHSIG = 1
_ORPHANED = signal.SIGCONT  # reaches a stopped process, too: it goes on, and then ends


def main() -> NoReturn:
    """Run with the control socket's number as the only argument; with more, as one instance."""
    if len(sys.argv) > 2:
        _instance(json.loads(sys.argv[1]), [int(fd) for fd in sys.argv[3:]], int(sys.argv[2]))
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the launcher stops us, in order
    _preload()
    _title("phoenix zygote")
    gc.collect()
    gc.freeze()  # pages that nobody writes stay shared with the children
    _tell(control, {"ready": _threads()})
    _serve(control)


def _serve(control: socket.socket) -> NoReturn:
    wakeup, waker = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if wakeup in ready:
            _drain(wakeup)
            _reap(control)
        if control.fileno() in ready:
            _answer(control, (wakeup, waker))


def _answer(control: socket.socket, own: tuple[int, int]) -> None:
    data, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES, FDS_MAX)
    if not data:
        os._exit(0)  # the launcher is gone
    request: dict[str, Any] = json.loads(data)
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for fd in (*own, control.detach()):
            os.close(fd)
        _child(request["spec"], fds, zygote)
    for fd in fds:
        os.close(fd)
    _tell(control, {"spawned": request["spawn"], "pid": pid})


def _child(spec: dict[str, Any], fds: list[int], zygote: int) -> NoReturn:
    """Become one instance: never returns into the server's code."""
    if _differs(spec.get("artifact", "")):
        _replace(spec, fds, zygote)
    _instance(spec, fds, zygote)


def _instance(spec: dict[str, Any], fds: list[int], zygote: int) -> NoReturn:
    code = 70
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the launcher, who decides
        die_with(spec["launcher_pid"], zygote)
        _title(f"phoenix {spec['service']} {spec['instance']}")
        host = importlib.import_module("phoenix.host")
        code = host.run(spec, fds[0], fds[1:])
    except BaseException as error:
        sys.stderr.write(f"{spec.get('instance')}: {type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _differs(artifact: str) -> bool:
    """Whether an artifact brings shared code that is not what this process has loaded."""
    if not artifact or not os.path.isdir(os.path.join(artifact, "phoenix")):
        return False
    return shared_digest(Path(artifact)) != _loaded


def _replace(spec: dict[str, Any], fds: list[int], zygote: int) -> NoReturn:
    """Become an interpreter that knows nothing but the artifact and the installed packages."""
    for fd in fds:
        os.set_inheritable(fd, True)
    environment = {**os.environ, "PYTHONPATH": spec["artifact"]}
    arguments = [json.dumps(spec), str(zygote), *map(str, fds)]
    os.execve(sys.executable, [sys.executable, "-m", "phoenix.zygote", *arguments], environment)


def die_with(launcher_pid: int, zygote_pid: int) -> None:
    """End this process when its launcher is gone, however it went.

    The kernel signals when the parent (the zygote) ends; the launcher adopts the orphans as their
    subreaper. So an orphan whose new parent is the launcher lives on, any other ends: in order if
    it can, by an alarm that needs no code of ours if it cannot.
    """

    def orphaned(_signal: int = 0, _frame: FrameType | None = None) -> None:
        if os.getppid() not in (launcher_pid, zygote_pid):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(END_S)

    signal.signal(_ORPHANED, orphaned)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _ORPHANED)
    orphaned()  # both may have ended before the kernel knew our wish


def _preload() -> None:
    global _loaded
    _loaded = shared_digest(Path(__file__).resolve().parents[1])
    for module in PRELOAD:
        try:
            importlib.import_module(module)
        except ImportError as error:
            sys.stderr.write(f"zygote: {module} is not preloaded: {error}\n")
    for entry in importlib.metadata.entry_points(group="phoenix.services"):
        try:
            entry.load()
        except Exception as error:  # the instance will say it again, with its name
            sys.stderr.write(f"zygote: {entry.name} is not preloaded: {error}\n")


def _reap(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(control, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, answer: dict[str, Any]) -> None:
    try:
        control.send(json.dumps(answer).encode())
    except OSError:
        os._exit(0)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 512):
            pass
    except BlockingIOError:
        return


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _title(text: str) -> None:
    from setproctitle import setproctitle

    setproctitle(text)


if __name__ == "__main__":
    main()
