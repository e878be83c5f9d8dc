"""The embedded default: starting, refusing to start, and stopping."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.integration.system import System, running
from tests.support.ports import free_shift

START_AGAIN_S = 4.0

pytestmark = pytest.mark.timeout(180)


def test_every_instance_answers_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        status = system.json("status")
        assert sum(len(service["instances"]) for service in status["services"]) == 18
        for service in ("registry", "governance", "intent-queue"):
            assert system.leader(service)["role"] == "active"
            system.phoenix("udc", "check", service)
        assert system.stop() == 0


def test_a_killed_launcher_is_followed_by_another_with_the_same_processes(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        before = system.json("status")
        assert system.process is not None
        system.process.kill()
        system.process.wait()
        left = json.loads(system.phoenix("status", "--json", expect=1))
        assert pids(left) == pids(before)
        assert system.start() < START_AGAIN_S
        after = system.json("status")
        assert pids(after) == pids(before)
        assert after["nats"] == before["nats"]
        system.process.kill()
        system.process.wait()
        system.phoenix("down")
        system.phoenix("status", expect=3)


def pids(status: dict[str, Any]) -> dict[str, int]:
    return {instance["instance"]: instance["pid"] for instance in status["instances"]}


def test_a_busy_port_is_one_line_and_nothing_starts(tmp_path: Path) -> None:
    system = System(tmp_path / "data", free_shift())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 8213 + 1000 + system.shift))
        taken.listen()
        with pytest.raises(AssertionError, match="ended with 1"):
            system.start()
    (line,) = system.output().strip().splitlines()
    assert str(9213 + system.shift) in line
    assert "governance" in line


def test_a_wrong_setting_is_one_line_naming_it(tmp_path: Path) -> None:
    system = System(tmp_path / "data", free_shift(), {"PHOENIX_LEASE_S": "soon"})
    with pytest.raises(AssertionError, match="ended with 2"):
        system.start()
    (line,) = system.output().strip().splitlines()
    assert "PHOENIX_LEASE_S" in line
    assert "soon" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_missing_right_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    system = System(folder, free_shift())
    with pytest.raises(AssertionError, match="ended with"):
        system.start()
    assert len(system.output().strip().splitlines()) == 1
