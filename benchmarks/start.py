"""The whole system from nothing: ``phoenix up`` until all 18 instances are healthy, its memory, and
how soon each of the six groups has a leader and is whole again after ``kill -9`` of its leader.

``python -m benchmarks.start``: half a minute.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.report import Figure, save, show, spread
from phoenix import remote
from tests.phoenix.running import until
from tests.support.ports import free_shift

START_S = 60.0
UP = "from phoenix.cli import main; main()"


def up(data_dir: Path, shift: int) -> tuple["subprocess.Popen[str]", float]:
    """Start the system; return its launcher and the seconds until it said that all are healthy."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", UP, "up", "--no-tty", "--port-shift", str(shift)],
        env={**os.environ, "PHOENIX_DATA_DIR": str(data_dir)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "instances healthy after" in line:
            return process, time.monotonic() - began
    raise RuntimeError(f"phoenix up ended with {process.wait()}")


def memory_mb(launcher: int) -> float:
    """Memory that the launcher and all it started do not share with anybody."""
    root = psutil.Process(launcher)
    processes = [root, *root.children(recursive=True)]
    return float(sum(process.memory_full_info().uss for process in processes)) / 2**20


async def fall(data_dir: Path, group: dict[str, Any]) -> tuple[float, float]:
    """Kill a group's leader; the seconds until another leads on the base port, and until the group
    is whole again."""
    (leader,) = [i for i in group["instances"] if i["role"] == "active"]
    began = time.monotonic()
    os.kill(leader["pid"], signal.SIGKILL)
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:

        async def led() -> bool:
            try:
                health = (await http.get(f"http://127.0.0.1:{group['port']}/health")).json()
            except httpx.TransportError:
                return False
            return bool(health["role"] == "active" and health["pid"] != leader["pid"])

        await until(led)
    led_s = time.monotonic() - began

    async def whole() -> bool:
        return bool((await state(data_dir))[group["service"]]["whole"])

    await until(whole, within_s=START_S)
    return led_s, time.monotonic() - began


async def state(data_dir: Path) -> dict[str, dict[str, Any]]:
    """Every group by name, as the launcher sees it."""
    told = await asyncio.to_thread(remote.ask, data_dir, {"command": "status"})
    return {group["service"]: group for group in told["services"]}


async def falls(data_dir: Path) -> list[tuple[float, float]]:
    return [await fall(data_dir, group) for group in (await state(data_dir)).values()]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        launcher, started_s = up(data_dir, free_shift())
        try:
            memory = memory_mb(launcher.pid)
            fallen = asyncio.run(falls(data_dir))
        finally:
            launcher.terminate()
            launcher.wait(30)
    lines = [
        Figure(
            "phoenix up until all 18 instances are healthy, process start included",
            started_s,
            "s",
            goal="<= 8 s",
            met=started_s <= 8,
        ),
        Figure("unshared memory of launcher, server, fork server and instances", memory, "MB"),
        spread("kill -9 of each leader until the next one answers", [led for led, _ in fallen]),
        spread("kill -9 of each leader until its group is whole", [whole for _, whole in fallen]),
    ]
    show("Start of the whole system", lines)
    save("start", lines)


if __name__ == "__main__":
    main()
