"""A build's own folder on this host, its log, and the processes that work in it.

Layout      ``<data dir>/builds/<build id>/``: ``build.log`` and, meanwhile, ``epoch-<n>/``
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.errors import DomainError
from infra.sandbox import give_way

_PRODUCT = Path(__file__).resolve().parents[2]
_TOOL_S_MAX = 60.0
_LOG_BYTES_MAX = 2 * 2**20


class StepFailed(DomainError):
    """A step of the build says no; ``step`` names it. Trying again unchanged would say no again."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


async def stopped(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and return when it has cleaned up, however often we are cancelled meanwhile:
    what it started outside (processes) must not outlive it. Its result is not looked at."""
    again: asyncio.CancelledError | None = None
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            again = error
    if not task.cancelled():
        task.exception()
    if again is not None:
        raise again


class Bench:
    """``epoch`` keeps an old leader that wakes up late out of the new one's files."""

    def __init__(self, data_dir: Path, build_id: str, epoch: int = 0) -> None:
        self.folder = data_dir.absolute() / "builds" / build_id
        self.work = self.folder / f"epoch-{epoch}"
        self.tree = self.work / "tree"
        self.dist = self.work / "dist"
        self.log = self.folder / "build.log"

    async def tool(self, step: str, job: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run one step of ``services.build_executor.tool`` here; return what it says.

        Raises:
            StepFailed: it refused, broke or took too long.
        """
        await asyncio.to_thread(self.work.mkdir, parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.build_executor.tool",
            step,
            str(self.work),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=_PRODUCT,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(_PRODUCT)},
        )
        give_way(process.pid)
        try:
            async with asyncio.timeout(_TOOL_S_MAX):
                out, err = await process.communicate(json.dumps(job or {}).encode())
        except TimeoutError:
            raise StepFailed(step, f"took more than {_TOOL_S_MAX:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            lines = err.decode(errors="replace").strip().splitlines() or ["no message"]
            raise StepFailed(step, lines[-1][:1000])
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def note(self, text: str) -> None:
        """Add to the build's log; what would make it too long is left out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as file:
            if file.tell() < _LOG_BYTES_MAX:
                file.write(text.rstrip("\n").encode() + b"\n")

    def read_log(self) -> str | None:
        """The log as it is now; None when this host has none."""
        try:
            return self.log.read_text(errors="replace")
        except OSError:
            return None

    def clear(self) -> None:
        """Take away everything but the log."""
        for work in self.folder.glob("epoch-*"):
            shutil.rmtree(work, ignore_errors=True)
