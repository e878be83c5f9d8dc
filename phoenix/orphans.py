"""Buries processes that nobody waits for: as subreaper, the launcher inherits them.

A killed instance may have had children (a sandbox run); they end by themselves and would stay as
zombies. Whoever waits for a child of ours (asyncio, subprocess, the forker) does so at once, so a
zombie that is still there on the next look belongs to nobody.
"""

import asyncio
import os
from contextlib import suppress

import psutil

LOOK_EVERY_S = 5.0


async def bury() -> None:
    """Look until cancelled."""
    before: set[int] = set()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        zombies = set(_zombies())
        for pid in zombies & before:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - does not block
        before = zombies


def _zombies() -> list[int]:
    with suppress(OSError):
        # One file read; asking psutil for all children would read every process of the host.
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        return [pid for pid in children if _is_zombie(pid)]
    return []


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
