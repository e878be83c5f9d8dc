"""Runs a command on a copy of a folder, within limits; the folder itself does not change.

Bounded     wall time, output, and by a watch that looks four times a second: memory and processes
            of all together and, where no file system of its own limits it, the disk.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from domain.sandbox import SandboxLevel
from infra.sandbox import bubblewrap, landlock
from infra.sandbox.limits import Limits, Result

NICE = 10
_PREFIX = "phoenix-sandbox-"
_WATCH_S = 0.25
_DRAIN_S = 2.0
_CHUNK = 64 * 1024
_INSIDE = Path(__file__).with_name("inside.py")
_users = cycle(bubblewrap.USERS[1 + os.getpid() % 4000 :])


@dataclass(frozen=True, slots=True)
class Variant:
    """``as_root``: started by root, it runs under a user id of its own (bubblewrap then makes its
    namespaces without a user namespace)."""

    level: SandboxLevel
    as_root: bool = False


@dataclass(slots=True)
class _Output:
    """The beginning and the end of what a command writes."""

    kept: int
    total: int = 0
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.kept // 4 - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        del self.tail[: max(0, len(self.tail) - 3 * self.kept // 4)]

    def text(self) -> str:
        left_out = self.total - len(self.head) - len(self.tail)
        middle = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out else b""
        return (bytes(self.head) + middle + bytes(self.tail)).decode(errors="replace")


async def run(
    argv: Sequence[str],
    folder: Path,
    *,
    variant: Variant,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    more: Sequence[Path] = (),
) -> Result:
    """Run ``argv`` (an absolute path first) in a copy of ``folder``.

    Raises:
        OSError: the sandbox itself could not be started.
    """
    limits = limits or Limits()
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as made:
        scratch = Path(made)
        line = await asyncio.to_thread(_line, argv, folder, scratch, variant, limits, env, more)
        started = time.monotonic()
        process, reader, pipe = await _start(line)
        output = _Output(limits.output_bytes)
        work = None if variant.level == "bubblewrap" else scratch / "work"
        try:
            stopped = await _attend(process, reader, output, limits, work)
        finally:
            pipe.close()
            await asyncio.shield(_end(process))
        return Result(
            exit_code=process.returncode if process.returncode is not None else -9,
            output=output.text(),
            duration_s=round(time.monotonic() - started, 3),
            level=variant.level,
            stopped=stopped,
        )


def give_way(pid: int) -> None:
    """Let what serves and leads go first: a build can wait, a lease cannot."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)


def sweep() -> int:
    """Take away what killed processes of this host have left; return how many folders."""
    left = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
            left += 1
    return left


async def _start(
    line: Sequence[str],
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, asyncio.ReadTransport]:
    """Start it with a pipe of our own: one that we can close while somebody still writes."""
    read_end, write_end = os.pipe()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env={},
            cwd="/",
            start_new_session=True,
        )
        give_way(process.pid)
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(write_end)
    return process, reader, pipe


def _line(
    argv: Sequence[str],
    folder: Path,
    scratch: Path,
    variant: Variant,
    limits: Limits,
    env: Mapping[str, str] | None,
    more: Sequence[Path],
) -> list[str]:
    wrapped = variant.level == "bubblewrap"
    scratch.chmod(0o755)
    work = bubblewrap.COPY if wrapped else str(scratch / "work")
    user = next(_users) if variant.as_root else None
    confined = variant.level == "landlock"
    if not wrapped:
        shutil.copytree(folder, work)
        if user is not None:
            _give(Path(work), user)
    given = dict(env or {})
    if confined:
        more = [*more, landlock.importable(scratch / "product")]
        given["PYTHONPATH"] = ":".join(filter(None, (given.get("PYTHONPATH"), str(more[-1]))))
    rlimits = _rlimits(limits)
    if confined and user is None:
        del rlimits["RLIMIT_NPROC"]  # would count what this user runs elsewhere; sandlock counts
    job = {
        "limits": rlimits,
        "user": user,
        "copy": [bubblewrap.SOURCE, bubblewrap.COPY] if wrapped else None,
        "cwd": work,
        "env": {
            "PATH": "/usr/bin:/bin",
            "HOME": work,
            "TMPDIR": "/tmp" if wrapped else work,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            **given,
        },
        "argv": list(argv),
        "reap": not wrapped,
        "landlock": landlock.rules(Path(work), limits, more=more) if confined else None,
    }
    script = bubblewrap.INSIDE if wrapped else str(_INSIDE)
    packages = [] if confined else ["-S"]
    inside = [sys.executable, "-I", *packages, "-B", script, json.dumps(job)]
    if not wrapped:
        return inside
    etc = bubblewrap.small_etc(scratch / "etc")
    return [
        *bubblewrap.command(folder, limits, as_root=variant.as_root, etc=etc, more=more),
        "--",
        *inside,
    ]


def _give(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def _rlimits(limits: Limits) -> dict[str, int]:
    return {
        "RLIMIT_AS": limits.address_space_bytes,
        "RLIMIT_CPU": limits.cpu_s,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_CORE": 0,
    }


async def _attend(
    process: asyncio.subprocess.Process,
    reader: asyncio.StreamReader,
    output: _Output,
    limits: Limits,
    work: Path | None,
) -> str:
    """Return which limit was reached first; "" when the command ended by itself."""
    reading = asyncio.create_task(_read(reader, output, limits))
    watching = asyncio.create_task(_watch(process.pid, limits, work))
    ending = asyncio.create_task(process.wait())
    tasks: tuple[asyncio.Task[Any], ...] = (reading, watching, ending)
    try:
        async with asyncio.timeout(limits.wall_s):
            while not ending.done():
                pending = [task for task in tasks if not task.done()]
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for limit in (reading, watching):
                    if limit.done() and (found := limit.result()):
                        return found
        # What was written before the end is still in the pipe; an orphan may hold it open.
        await asyncio.wait({reading}, timeout=_DRAIN_S)
        return reading.result() if reading.done() else ""
    except TimeoutError:
        return f"wall time: {limits.wall_s:g} s"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, output: _Output, limits: Limits) -> str:
    while data := await reader.read(_CHUNK):
        output.add(data)
        if output.total > limits.output_bytes_max:
            return f"output: {limits.output_bytes_max} bytes"
    return ""


async def _watch(pid: int, limits: Limits, work: Path | None) -> str:
    while True:
        await asyncio.sleep(_WATCH_S)
        found = await asyncio.to_thread(_over, pid, limits, work)
        if found:
            return found


def _over(pid: int, limits: Limits, work: Path | None) -> str:
    memory = processes = 0
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            memory += process.memory_info().rss
            processes += process.num_threads() if process.pid != pid else 0
    if memory > limits.memory_bytes:
        return f"memory: {limits.memory_bytes} bytes"
    if processes > limits.processes + 4:  # bwrap's first process is ours
        return f"processes: {limits.processes}"
    if work is not None and _size(work) > limits.disk_bytes:
        return f"disk: {limits.disk_bytes} bytes"
    return ""


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing running. With bubblewrap one signal ends the whole process namespace."""
    if process.returncode is None:
        await asyncio.to_thread(_kill_family, process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def _kill_family(pid: int) -> None:
    """Stop the youngest first, again until nobody new appears: a fork bomb races with this."""
    for _ in range(50):
        members = _family(pid)[1:]
        if not members:
            return
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            for member in reversed(members):
                with contextlib.suppress(psutil.Error):
                    member.send_signal(sig)
        psutil.wait_procs(members, timeout=0.2)
