"""The whole system as a user has it: ``phoenix up`` in a process of its own, and its commands."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.settings import BASE_PORTS
from infra.trust import TRUST
from phoenix import takeover
from tests.support.ports import free_shift

START_BOUND_S = 90.0
STOP_BOUND_S = 40.0
_HEALTHY = re.compile(r"(\d+) instances healthy after ([\d.]+) s")


@dataclass
class System:
    data_dir: Path
    shift: int
    env: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()  # of ``phoenix up``
    process: "subprocess.Popen[str] | None" = None
    lines: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        names = ("PATH", "HOME", "LANG", "TMPDIR")
        return {
            **{name: os.environ[name] for name in names if name in os.environ},
            "PHOENIX_DATA_DIR": str(self.data_dir),
            "PHOENIX_PORT_SHIFT": str(self.shift),
            "COLUMNS": "200",
            **self.env,
        }

    def start(self) -> float:
        """Start it; return the seconds until every instance was healthy, as it says itself."""
        log = (self.data_dir.parent / "up.log").open("a")
        self.process = subprocess.Popen(
            [command("phoenix"), "up", "--no-tty", *self.arguments],
            env=self.environment,
            cwd=self.data_dir.parent,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log.close()
        seen = len(self.output().splitlines()) if self.lines else 0
        deadline = time.monotonic() + START_BOUND_S
        while time.monotonic() < deadline:
            text = "\n".join(self.output().splitlines()[seen:])
            if found := _HEALTHY.search(text):
                self.lines = self.output().splitlines()
                return float(found[2])
            if self.process.poll() is not None:
                raise AssertionError(f"phoenix up ended with {self.process.returncode}:\n{text}")
            time.sleep(0.05)
        raise AssertionError(f"not healthy after {START_BOUND_S:g} s:\n{self.output()}")

    def output(self) -> str:
        return (self.data_dir.parent / "up.log").read_text()

    def stop(self) -> int:
        """Ctrl-C; return the exit code. Nothing of it may be left running."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(STOP_BOUND_S)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, f"left running: {alive}"
        self.process = None
        return code

    def url(self, service: str, path: str = "") -> str:
        return f"http://127.0.0.1:{BASE_PORTS[service] + self.shift}{path}"

    def get(self, service: str, path: str, **query: Any) -> Any:
        answer = httpx.get(
            self.url(service, path), params=query, timeout=15, trust_env=False, verify=TRUST
        )
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    @property
    def token(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    def post(self, service: str, path: str, body: Any, *, expect: int = 202) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(
            self.url(service, path),
            json=body,
            headers=headers,
            timeout=15,
            trust_env=False,
            verify=TRUST,
        )
        assert answer.status_code == expect, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def phoenix(self, *args: str, expect: int = 0) -> str:
        """Run a command of the ``phoenix`` tool; return what it printed."""
        done = subprocess.run(
            [command("phoenix"), *args],
            env=self.environment,
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.phoenix(*args, "--json"))

    def status_of(self, intent_id: str) -> str:
        return str(self.get("intent-queue", f"/intents/{intent_id}")["status"])

    def wait_for(self, intent_id: str, *wanted: str, timeout_s: float = 90.0) -> dict[str, Any]:
        """The intent once its status is one of these."""
        found: dict[str, Any] = {}
        ended = {"completed", "failed", "rejected", "blocked", "cancelled", "expired"}

        def there() -> bool:
            nonlocal found
            try:
                found = self.get("intent-queue", f"/intents/{intent_id}")
            except (httpx.HTTPError, AssertionError):
                return False
            return found["status"] in wanted or found["status"] in ended

        until(there, timeout_s=timeout_s)
        assert found["status"] in wanted, f"{found['status']}: {found.get('outcome')}"
        return found

    def leader(self, service: str) -> dict[str, Any]:
        health: dict[str, Any] = self.get(service, "/health")
        return health

    def kill_leader(self, service: str) -> float:
        """kill -9; return the seconds until another instance leads."""
        before = self.leader(service)
        os.kill(int(before["pid"]), signal.SIGKILL)
        began = time.monotonic()

        def moved() -> bool:
            with contextlib.suppress(httpx.HTTPError, AssertionError):
                now = self.leader(service)
                return bool(now["pid"] != before["pid"] and now["role"] == "active")
            return False

        until(moved, timeout_s=10, every_s=0.005)
        return time.monotonic() - began


def command(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s")
        time.sleep(every_s)


@contextlib.contextmanager
def running(folder: Path, **env: str) -> Iterator[System]:
    """A running system with its data under ``folder``; stopped at the end."""
    system = System(folder / "data", free_shift(), env)
    system.start()
    try:
        yield system
    finally:
        if system.process is not None and system.process.poll() is None:
            system.stop()
        elif takeover.abandoned(system.data_dir):
            system.phoenix("down")
