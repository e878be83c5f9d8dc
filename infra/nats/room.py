"""A disk that was full: the server has to be started again once there is room.

nats-server (2.15) refuses every later write to a stream that has once met a full disk, also when
there is room again, until it is restarted: leases are not renewed, nobody leads, nothing goes on.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

LOOK_S = 1.0
ROOM_BYTES = 32 * 1024 * 1024  # less is no room: the next write would meet the end again
_FULL = b"no space left on device"


class LogTail:
    """What is added to a file that may be begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = _size(path)

    def added(self) -> bytes:
        """The bytes added since the last call; from the start when the file is a new one."""
        size = _size(self._path)
        if size < self._read:
            self._read = 0
        if size == self._read:
            return b""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                found = file.read(size - self._read)
        except OSError:  # it is being begun anew
            return b""
        self._read += len(found)
        return found


async def until_room_again(tail: LogTail, folder: Path, *, on_full: Callable[[str], None]) -> None:
    """Return once writes have failed for want of room in the folder and there is room again.

    ``tail`` is of the server's log. ``on_full`` is told when the first write fails, in words for
    people, and "" at the end.
    """
    full = False
    while True:
        if not full and _FULL in tail.added():
            full = True
            on_full(f"the disk of {folder} is full: make room; the log takes no writes")
        if full and shutil.disk_usage(folder).free >= ROOM_BYTES:
            on_full("")
            return
        await asyncio.sleep(LOOK_S)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
