"""A killed launcher costs nothing: its instances go on, and the next launcher takes them over."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from domain.instance import InstanceDied, InstancePromoted, LeadershipTaken
from infra.nats.connection import open_connection
from infra.nats.log import JetStreamLog
from phoenix import takeover
from tests.phoenix.command import Command, family, gone
from tests.phoenix.fire import Fire, compare
from tests.phoenix.running import until
from tests.support.nats import settings_for
from tests.support.ports import free_base, free_port

pytestmark = pytest.mark.alone


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "data", free_base(), free_port())
    yield command
    command.end()


@asynccontextmanager
async def log_of(command: Command) -> AsyncIterator[JetStreamLog]:
    nc = await open_connection(settings_for(command.data_dir, command.nats_port), "service")
    log = JetStreamLog(nc)
    try:
        yield log
    finally:
        await log.close()
        await nc.close()


async def killed(command: Command) -> list[psutil.Process]:
    """Start, wait until it is whole, kill the launcher; return what it had started."""
    launcher = command.start()
    await command.whole()
    children = family(launcher)
    launcher.kill()
    launcher.wait()
    return children


async def lives(command: Command) -> list[dict[str, Any]]:
    return [await command.health(slot) for slot in range(3)]


def known(healths: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(h["instance"], h["pid"], h["role"], h["epoch"]) for h in healths]


def by_title(processes: list[psutil.Process], part: str) -> psutil.Process:
    return next(p for p in processes if part in " ".join(p.cmdline()))


async def test_a_killed_launcher_and_its_successor_cost_no_request_and_no_leader(
    command: Command,
) -> None:
    launcher = command.start()
    await command.whole()
    before, children = await lives(command), family(launcher)
    fire = Fire([command.base + 1000 * slot for slot in range(3)], per_s=100)
    firing = asyncio.create_task(fire.run())
    await until(lambda: len(fire.outcome.seconds) > 100)
    launcher.kill()
    launcher.wait()
    answered = len(fire.outcome.seconds)
    await until(lambda: len(fire.outcome.seconds) > answered + 200)  # two seconds alone
    assert known(await lives(command)) == known(before)
    second = command.start()
    assert "takes over 3 instances" in await said(second, "healthy after")
    answered = len(fire.outcome.seconds)
    await until(lambda: len(fire.outcome.seconds) > answered + 200)
    assert known(await lives(command)) == known(before)
    fire.stop()
    await firing
    async with log_of(command) as log:
        await compare(log, fire.outcome)
    outcome = fire.outcome
    assert (outcome.refused, outcome.repeats, outcome.unanswered, outcome.wrong) == (0, 0, 0, {})
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert all(child.is_running() for child in children)  # also the nats-server
    victim = by_title(children, "tiny-0")
    victim.kill()  # and they are watched again
    await until(gone([victim]))
    await command.whole()
    second.send_signal(signal.SIGTERM)
    _, errors = second.communicate(timeout=20)
    assert (second.returncode, errors) == (0, "")
    assert gone(children)()


async def said(process: "subprocess.Popen[str]", last: str) -> str:
    """What a launcher prints up to the line with these words."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not lines or last not in lines[-1]:
            lines.append(await asyncio.to_thread(process.stdout.readline))
            assert process.poll() is None
    return "".join(lines)


@pytest.mark.parametrize("together", [False, True])
async def test_a_leader_that_falls_without_a_launcher_is_followed_and_later_replaced(
    command: Command, together: bool
) -> None:
    launcher = command.start()
    await command.whole()
    before = await lives(command)
    leader = psutil.Process(before[0]["pid"])
    if together:  # it comes to do nothing about what it is told
        launcher.send_signal(signal.SIGSTOP)
        leader.kill()
        await until(lambda: not leader.is_running())  # the fork server has buried it
    launcher.kill()
    launcher.wait()
    if not together:
        leader.kill()

    async def followed() -> bool:
        health = await command.health()  # the new leader comes to the base port by itself
        return bool(health["epoch"] == before[0]["epoch"] + 1 and health["role"] == "active")

    await until(followed, within_s=3)
    assert "silent" not in command.phoenix("status").stdout
    assert {h["pid"] for h in await lives(command)} == {before[1]["pid"], before[2]["pid"]}
    command.start()
    await command.whole()
    after = await lives(command)
    assert after[0]["epoch"] == before[0]["epoch"] + 1
    survivors = {health["pid"] for health in before[1:]}
    assert len(survivors & {health["pid"] for health in after}) == 2
    async with log_of(command) as log:
        events = [recorded.event for recorded in await log.read("events.instance.tiny")]
        terms = [recorded.event for recorded in await log.read("events.leadership.tiny")]
    (died,) = [event for event in events if isinstance(event, InstanceDied)]
    assert (died.instance, died.reason, died.was_leader) == ("tiny-0", "signal 9", True)
    (promoted,) = [event for event in events if isinstance(event, InstancePromoted)]
    taken = terms[-1]
    assert isinstance(taken, LeadershipTaken)
    assert (promoted.instance, promoted.epoch) == (taken.instance, taken.epoch)
    assert promoted.at == taken.at
    assert promoted.failover_s is not None
    assert 0 < promoted.failover_s < 2


async def test_status_says_that_no_launcher_runs_and_down_ends_what_is_left(
    command: Command,
) -> None:
    children = await killed(command)
    shown = command.phoenix("status", "--json")
    assert shown.returncode == 1
    state = json.loads(shown.stdout)
    assert [i["role"] for i in state["instances"]] == ["active", "standby", "standby"]
    assert "phoenix up" in state["troubles"]["phoenix-launcher of tiny"]
    assert "no launcher" in command.phoenix("status").stdout
    down = command.phoenix("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert "stopped 3 instances" in down.stdout
    await until(gone(children))
    assert command.phoenix("status").returncode == 3
    command.start()
    await command.whole()
    async with log_of(command) as log:
        events = [recorded.event for recorded in await log.read("events.instance.tiny")]
    assert [e.planned for e in events if isinstance(e, InstanceDied)] == [True] * 3


async def test_a_server_that_dies_without_a_launcher_is_started_again(command: Command) -> None:
    children = await killed(command)
    before = await lives(command)
    by_title(children, "nats-server").kill()

    async def written() -> bool:
        key = os.urandom(8).hex()
        answer = await command.post("/notes", {"Idempotency-Key": key})
        return answer == 201

    await until(written, within_s=10)
    command.start()
    await command.whole()
    assert known(await lives(command)) == known(before)


async def test_other_settings_replace_the_instances_standbys_first(command: Command) -> None:
    await killed(command)
    before = await lives(command)
    command.settings = {"PHOENIX_LEASE_S": "1.5"}
    command.start()

    async def all_new() -> bool:
        healths = await lives(command)
        return not {h["pid"] for h in healths} & {h["pid"] for h in before}

    await until(all_new, within_s=40)
    await command.whole()
    async with log_of(command) as log:
        events = [recorded.event for recorded in await log.read("events.instance.tiny")]
    died = [event for event in events if isinstance(event, InstanceDied)]
    assert {event.reason for event in died} == {"new version"}
    assert [event.instance for event in died] == ["tiny-2", "tiny-1", "tiny-0"]  # it led


async def test_a_launcher_that_cannot_start_leaves_what_runs_as_it_is(command: Command) -> None:
    children = await killed(command)
    before = await lives(command)
    process = command.start("--instances", "2")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "phoenix down" in errors
    assert known(await lives(command)) == known(before)
    assert all(child.is_running() for child in children)
    command.settings = {"PHOENIX_REPLICAS": "3"}  # refused by a single server, later on
    process = command.start()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.count("\n")) != (0, 0)
    command.settings = {}
    command.start()
    await command.whole()
    assert known(await lives(command)) == known(before)


async def test_what_was_not_handed_over_is_never_taken(command: Command) -> None:
    """Files that name a living process, a dead socket, a stranger's port: nothing comes of it."""
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        command.data_dir.mkdir()
        about = {"pid": stranger.pid, "socket": "", "started": 0.0}
        for name in ("launcher.json", "launcher-tiny.lock", "nats/server.pid"):
            path = command.data_dir / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(orjson.dumps(about) if name.endswith("json") else b"%d" % stranger.pid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
            left.bind(str(takeover.keeper_path(command.data_dir, "launcher-tiny")))
        command.start()
        await command.whole()
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
