"""A doorbell between processes of one host: short lines to whoever listens at a path (a FIFO).

Nothing is kept: nobody listening, or somebody who does not empty it, costs the ringer nothing and
loses the line. A path may be longer than a socket's name.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

_READ_BYTES = 65_536  # as much as a FIFO holds


class Doorbell:
    """Listens at one path; call ``close`` when nobody is to be heard any more."""

    def __init__(self, path: Path, heard: Callable[[str], None]) -> None:
        """Tell ``heard`` of every line, on the running event loop.

        Raises:
            OSError: the path cannot be a FIFO.
        """
        if not (path.exists() and stat.S_ISFIFO(path.stat().st_mode)):
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        self._heard = heard
        # For both ways: with no writer of its own it would be at its end after each ringer.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            # Lines this short arrive whole, and a line a name is enough.
            for line in dict.fromkeys(os.read(self._fd, _READ_BYTES).split(b"\n")):
                if line:
                    self._heard(line.decode(errors="replace"))


def ring(path: Path, line: str) -> bool:
    """Send one line (at most some hundred bytes); return whether somebody will hear it."""
    with contextlib.suppress(OSError):  # nobody is there, or does not empty it
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            return os.write(fd, f"{line}\n".encode()) > 0
        finally:
            os.close(fd)
    return False
