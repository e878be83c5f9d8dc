"""Several processes of one generated service on real JetStream behave as one service."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.nats.connection import read_credentials
from tests.generator.projects import written
from tests.generator.specs import inventory
from tests.support.nats import Server, running_server

ROOT = Path(__file__).parents[2]
COMMAND = (
    "import os, sys; from pathlib import Path; import uvicorn;"
    " from inventory.app import build; from inventory.service import start;"
    " uvicorn.run(build(start(Path(sys.argv[1]), dict(os.environ))), fd=int(sys.argv[2]),"
    " log_level='warning')"
)


@dataclass
class Instance:
    """One process of the service."""

    project: Path
    server: Server
    tables: Path
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))  # stays when the process is killed
        self.port = self.listener.getsockname()[1]

    def start(self) -> None:
        password = read_credentials(self.server.data_dir)["app"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(self.tables), str(self.listener.fileno())],
            pass_fds=[self.listener.fileno()],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}{os.pathsep}{self.project}",
                "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
                "NATS_URL": f"nats://app:{password}@127.0.0.1:{self.server.port}",
            },
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        wait_until(lambda: self.client.get("/items").status_code == 200)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.client.close()


def wait_until(condition: Any, *, timeout_s: float = 40.0) -> None:
    """Wait until a condition holds; a refused connection counts as no."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.02)
    raise AssertionError("not in time")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "nats") as found:
        yield found


@pytest.fixture
def instances(tmp_path: Path, server: Server) -> Iterator[list[Instance]]:
    written(inventory(), tmp_path / "project")
    found: list[Instance] = []
    for number in (1, 2):
        tables = tmp_path / f"tables-{number}"
        found.append(Instance(tmp_path / "project", server, tables))
    try:
        for instance in found:
            instance.start()
        yield found
    finally:
        for instance in found:
            if instance.process is not None and instance.process.poll() is None:
                instance.kill()
            instance.listener.close()


def test_two_processes_are_one_service(instances: list[Instance]) -> None:
    a, b = instances
    made = a.client.post("/items", json={"sku": "first", "count": 1, "price": "0.10"})
    assert made.status_code == 201, made.text
    path, position = f"/items/{made.json()['id']}", made.json()["position"]

    seen = b.client.get(f"{path}?after={position}")
    assert seen.json()["price"] == "0.10"
    changed = b.client.patch(path, json={"count": 2})
    assert changed.status_code == 200
    assert changed.json()["position"] > position
    own = a.client.get(f"{path}?after={changed.json()['position']}").json()
    assert own["count"] == 2

    def claim(number: int) -> int:
        client = instances[number % 2].client
        return client.post("/items", json={"sku": "only", "count": number}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(20))) == [201] + [409] * 19

    def bump(number: int) -> int:
        client = instances[number % 2].client
        return client.patch(path, json={"count": 10 + number}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(bump, range(16)))
    assert set(statuses) <= {200, 503}
    history = a.client.get(f"{path}/history").json()["items"]
    assert [event["version"] for event in history] == list(range(1, len(history) + 1))
    assert len(history) == 2 + statuses.count(200), "nothing lost, nothing twice"


def test_data_survives_kills_of_processes_and_of_the_server(
    instances: list[Instance], server: Server
) -> None:
    a, b = instances
    made = [
        a.client.post("/items", json={"sku": f"s{number}", "count": number}).json()
        for number in range(5)
    ]
    a.kill()
    last = b.client.post("/items", json={"sku": "during", "count": 9}).json()
    assert b.client.get(f"/items?after={last['position']}").json()["total"] == 6
    a.start()
    assert a.client.get(f"/items?after={last['position']}").json()["total"] == 6
    assert a.client.get(f"/items/{made[3]['id']}").json()["count"] == 3

    server.kill()
    server.start()
    wait_until(
        lambda: b.client.post("/items", json={"sku": "after", "count": 1}).status_code in (201, 409)
    )
    wait_until(lambda: a.client.get("/items?sku=after").json()["total"] == 1)
    assert a.client.get("/items").json()["total"] == 7
    assert json.loads(b.client.get("/reports/stock").text)["rows"] == [{"value": 20}]
