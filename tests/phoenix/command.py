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
from infra.trust import TRUST
from phoenix import takeover
from tests.phoenix.running import until

LAUNCH = "from phoenix.cli.launcher import main; main()"
PHOENIX = "from phoenix.cli import main; main()"


@dataclass
class Command:
    """One launcher process and the environment it runs in."""

    data_dir: Path
    base: int
    nats_port: int
    settings: dict[str, str] = field(default_factory=dict)
    service: str = "tests.phoenix.tiny:create"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PHOENIX_DATA_DIR": str(self.data_dir),
            "PHOENIX_PORT_SHIFT": str(self.nats_port - NATS_PORT),
            "PHOENIX_LEASE_S": "1",
            "PHOENIX_HEARTBEAT_S": "1",
            **self.settings,
        }

    def start(self, *extra: str) -> "subprocess.Popen[str]":
        service = ("--service", self.service, "--port", str(self.base))
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *service, "--no-tty", *extra],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def phoenix(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the ``phoenix`` tool on the same data."""
        return subprocess.run(
            [sys.executable, "-c", PHOENIX, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def post(self, path: str, headers: dict[str, str]) -> int:
        """Return the status of a command sent to the base port; 0 when there was no answer."""
        async with httpx.AsyncClient(trust_env=False, verify=TRUST, timeout=10) as http:
            try:
                url = f"http://127.0.0.1:{self.base}{path}"
                return (await http.post(url, headers=headers)).status_code
            except httpx.TransportError:
                return 0

    async def health(self, slot: int = 0) -> dict[str, object]:
        async with httpx.AsyncClient(trust_env=False, verify=TRUST, timeout=10) as http:
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
        """End whatever it started, also what a killed one has left."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                try:
                    process.communicate(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()
        if takeover.abandoned(self.data_dir):
            self.phoenix("down")


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The launcher's children and theirs: server, fork server, instances."""
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # since the first of the two questions
            return True

    return lambda: all(ended(process) for process in processes)
