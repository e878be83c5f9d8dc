"""What an instance does about its views: wait until they have caught up, or say they cannot."""

import asyncio
import signal
from contextlib import suppress

import httpx
import pytest

from infra.nats.connection import open_connection
from infra.trust import TRUST
from phoenix.group import Release
from tests.phoenix.running import TINY, Running, running_group, until
from tests.support.nats import Server, settings_for

pytestmark = pytest.mark.alone
GENERATED = Release(reference="tests.phoenix.tiny:generated", version="3")
NEWER = (
    b'{"specversion":"1.0","id":"6f0f6b6e-8d67-4b4e-9d5b-30c6c1f2a111","source":"test",'
    b'"type":"phoenix.leadership.LeadershipShared.v9","time":"2030-01-01T00:00:00Z","data":{}}'
)


async def test_an_instance_is_ready_only_when_its_service_has_read_its_own_log(
    server: Server,
) -> None:
    async with running_group(server, GENERATED, whole=False) as running:
        await until(
            lambda: [m.state for m in running.group.members.values()] == ["up"] * 3, within_s=30
        )
        assert (await running.health())["status"] == "inactive"
        assert running.group.leader is None
        (server.data_dir / "caught-up").touch()
        await running.whole()
        assert (await running.health())["status"] == "active"
        pids = {member.pid for member in running.group.members.values()}
    closed = {int(path.name.removeprefix("closed-")) for path in server.data_dir.glob("closed-*")}
    assert closed == pids


async def test_instances_that_cannot_read_the_log_stay_up_say_why_and_do_not_lead(
    tiny: Running, server: Server
) -> None:
    pids = {member.pid for member in tiny.group.members.values()}
    nc = await open_connection(settings_for(server.data_dir, server.port), "service")
    await nc.jetstream().publish("events.leadership.tiny", NEWER)
    await nc.close()
    await until(lambda: all(m.unable for m in tiny.group.members.values()))
    assert {member.pid for member in tiny.group.members.values()} == pids
    assert tiny.group.restarts == 0
    assert tiny.group.leader is None
    assert "LeadershipShared" in tiny.group.error
    for slot in range(3):
        health = await tiny.health(slot)
        assert (health["status"], health["role"]) == ("error", "standby")
        assert "LeadershipShared" in health["problem"]
        port = tiny.group.plan.ports[slot]
        assert (await tiny.http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 503
        assert (await tiny.http.get(f"http://127.0.0.1:{port}/who")).json()["terms"] == 1
    assert not await tiny.group.roll(Release(reference=TINY.reference, version="2"))
    assert len(tiny.group.members) > 0


async def test_a_pooled_client_of_the_base_port_soon_talks_to_the_new_leader(
    tiny: Running,
) -> None:
    before = tiny.group.leader
    assert before is not None
    url = f"http://127.0.0.1:{tiny.base}/who"
    async with httpx.AsyncClient(trust_env=False, verify=TRUST, timeout=10) as pooled:
        assert (await pooled.get(url)).json()["pid"] == before.pid
        # Between the two a stand-in serves the base port and may take the client's connection.
        before.signal(signal.SIGKILL)
        while tiny.group.leader in (None, before) or not tiny.group.whole:
            with suppress(httpx.TransportError):  # the connection that died with its instance
                await pooled.get(url)
        leader = tiny.group.leader
        assert leader is not None

        async def answers_the_leader() -> bool:
            return int((await pooled.get(url)).json()["pid"]) == leader.pid

        await until(answers_the_leader, within_s=1.0)


async def test_an_instance_that_gives_a_port_up_ends_the_connections_kept_on_it(
    tiny: Running,
) -> None:
    standby = next(m for m in tiny.group.members.values() if not m.leads)
    (slot,) = standby.slots
    port = tiny.group.plan.ports[slot]
    idle = await asyncio.open_connection("127.0.0.1", port)
    busy = await asyncio.open_connection("127.0.0.1", port)
    for _, writer in (idle, busy):
        writer.write(b"GET /who HTTP/1.1\r\nHost: tiny\r\n\r\n")
    for reader, _ in (idle, busy):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in head.lower()
        await reader.readuntil(b"}")
    standby.send(slots=[])
    busy[1].write(b"GET /slow?ms=100 HTTP/1.1\r\nHost: tiny\r\n\r\n")
    answered = await busy[0].read()
    assert b"connection: close" in answered.lower()
    assert f'"pid":{standby.pid}'.encode() in answered
    async with asyncio.timeout(2.0):
        assert await idle[0].read() == b""
    for _, writer in (idle, busy):
        writer.close()
