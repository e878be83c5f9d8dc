"""Several launchers for one service on one log: one leader in all, whoever starts it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
import pytest

from tests.phoenix.command import Command, family, gone
from tests.phoenix.running import until
from tests.support.nats import Server
from tests.support.ports import free_base

pytestmark = pytest.mark.alone


@pytest.fixture
async def both(server: Server, tmp_path: Path) -> AsyncIterator[tuple[Command, Command]]:
    """Two launchers that have only the NATS server in common; the first one leads."""
    words = orjson.loads((server.data_dir / "nats" / "credentials.json").read_bytes())
    url = {"PHOENIX_NATS_URL": f"nats://owner:{words['owner']}@127.0.0.1:{server.port}"}
    first = Command(tmp_path / "first", free_base(), server.port, url)
    second = Command(tmp_path / "second", free_base(), server.port, url)
    try:
        first.start()
        await first.whole()
        process = second.start()
        assert process.stdout is not None
        async with asyncio.timeout(30):  # it is whole without a leader of its own
            while "3 instances healthy" not in await asyncio.to_thread(process.stdout.readline):
                assert process.poll() is None
        yield first, second
    finally:
        first.end()
        second.end()


async def roles(*commands: Command) -> list[str]:
    """The role of every instance that answers, by launcher and port."""
    return [str((await command.health(slot))["role"]) for command in commands for slot in range(3)]


async def test_one_of_six_instances_leads_and_a_killed_leader_is_followed_by_any_other(
    both: tuple[Command, Command],
) -> None:
    first, second = both
    assert await roles(first, second) == ["active", *["standby"] * 5]
    before = await first.health()
    os.kill(int(str(before["pid"])), signal.SIGKILL)

    async def one_leads_again() -> bool:
        found = await roles(first, second)
        return found.count("active") == 1 and found.count("standby") == 5

    await until(one_leads_again, within_s=10)
    leaders = [await command.health() for command in both]
    epochs = [int(str(h["epoch"])) for h in leaders if h["role"] == "active"]
    assert epochs == [int(str(before["epoch"])) + 1]


async def test_when_a_launcher_and_all_its_instances_are_gone_the_other_one_leads(
    both: tuple[Command, Command],
) -> None:
    first, second = both
    instances = family(first.started[0])
    first.started[0].kill()
    for process in instances:
        process.kill()
    await until(gone(instances), within_s=10)
    await second.whole()
    health = await second.health()
    assert (health["role"], health["epoch"]) == ("active", 2)
    first.start()  # and comes back beside it

    async def beside() -> bool:
        with suppress(httpx.TransportError):
            return await roles(second, first) == ["active", *["standby"] * 5]
        return False  # it has not bound its ports yet

    await until(beside, within_s=20)
    assert (await second.health())["epoch"] == 2
