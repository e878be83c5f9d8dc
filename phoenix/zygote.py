"""The fork server: one preloaded process without threads that forks every instance, and keeps what
must outlive a launcher (``phoenix.keeper``).

Components  a deployed part of this system whose shared code is not what was preloaded here is run
            by an interpreter of its own, from its artifact alone.
Invariants  it never starts a thread or an event loop, so forking it is safe; when neither it nor a
            launcher is left, every instance learns of it and ends.
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
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from infra.components import shared_digest
from phoenix.keeper import Keeper

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
    """Run with the control socket's number and what to keep for whom (JSON: ``path``, ``world``);
    or as one instance: with its spec, its fork server's pid and its sockets' numbers."""
    if not sys.argv[1].isdigit():
        _instance(json.loads(sys.argv[1]), [int(fd) for fd in sys.argv[3:]])
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the launcher stops us, in order
    about = json.loads(sys.argv[2])
    keeper = Keeper(socket.socket(fileno=int(sys.argv[1])), about.pop("path"), about)
    _title("phoenix zygote")
    keeper.hear_waiting()
    _preload()
    gc.collect()
    gc.freeze()  # pages that nobody writes stay shared with the children
    keeper.serve(_child, _threads())


def _child(spec: dict[str, Any], fds: Sequence[int]) -> NoReturn:
    """Become one instance: never returns into the server's code."""
    if _differs(spec.get("artifact", "")):
        _replace(spec, fds)
    _instance(spec, fds)


def _instance(spec: dict[str, Any], fds: Sequence[int]) -> NoReturn:
    code = 70
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the launcher, who decides
        end_as_orphan(fds[0])
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


def _replace(spec: dict[str, Any], fds: Sequence[int]) -> NoReturn:
    """Become an interpreter that knows nothing but the artifact and the installed packages."""
    for fd in fds:
        os.set_inheritable(fd, True)
    environment = {**os.environ, "PYTHONPATH": spec["artifact"]}
    arguments = [json.dumps(spec), str(os.getppid()), *map(str, fds)]
    os.execve(sys.executable, [sys.executable, "-m", "phoenix.zygote", *arguments], environment)


def end_as_orphan(control: int) -> None:
    """End this process, however it hangs, when neither its fork server nor a launcher is left.

    Whoever lives of them holds the other end of the control channel. The kernel signals when the
    parent (the fork server, then perhaps the launcher) ends; if nobody has that end any more, this
    process ends: in order if it can, by an alarm that needs no code of ours if it cannot.
    """
    look = select.poll()
    look.register(control, 0)  # a hang-up is always told

    def orphaned(_signal: int = 0, _frame: FrameType | None = None) -> None:
        if look.poll(0):
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
