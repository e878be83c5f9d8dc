"""The launcher as a command of its own, with what a test asks it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from infra.settings import NATS_PORT
from tests.phoenix.running import until

LAUNCH = "from phoenix.cli.launcher import main; main()"


@dataclass
class Command:
    """One launcher process and the environment it runs in."""

    data_dir: Path
    base: int
    nats_port: int
    settings: dict[str, str] = field(default_factory=dict)
    service: str = "tests.phoenix.tiny:create"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *extra: str) -> "subprocess.Popen[str]":
        env = {
            **os.environ,
            "PHOENIX_DATA_DIR": str(self.data_dir),
            "PHOENIX_PORT_SHIFT": str(self.nats_port - NATS_PORT),
            "PHOENIX_LEASE_S": "1",
            "PHOENIX_HEARTBEAT_S": "1",
            **self.settings,
        }
        service = ("--service", self.service, "--port", str(self.base))
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *service, "--no-tty", *extra],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    async def health(self, slot: int = 0) -> dict[str, object]:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            answer = await http.get(f"http://127.0.0.1:{self.base + 1000 * slot}/health")
        body: dict[str, object] = answer.json()
        return body

    async def whole(self) -> None:
        """Wait until one instance leads on the base port and the others answer on theirs."""

        async def all_answer() -> bool:
            try:
                healths = [await self.health(slot) for slot in range(3)]
            except httpx.TransportError:
                return False
            roles = [health["role"] for health in healths]
            alive = all(health["status"] == "active" for health in healths)
            return alive and roles == ["active", "standby", "standby"]

        await until(all_answer, within_s=30)

    def end(self) -> None:
        """End whatever it started."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                try:
                    process.communicate(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The launcher's children and theirs: server, fork server, instances."""
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    def all_gone() -> bool:
        return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)

    return all_gone
