"""What a launcher that starts says about the time since the leases were last renewed."""

import socket
from pathlib import Path

import pytest

from domain.instance import WatchResumed
from infra.clock import SystemClock
from infra.nats.connection import Connection
from infra.nats.kv import CasBucket
from infra.nats.log import JetStreamLog
from infra.nats.setup import LEASES
from infra.settings import Settings
from phoenix.elector import encode
from phoenix.journal import Journal
from phoenix.launcher import Launcher, Options

DEAD = 2**22 + 1  # above the highest process id


async def test_a_key_knows_when_it_was_written(nc: Connection) -> None:
    bucket, before = CasBucket(nc, LEASES), SystemClock().now()
    assert await bucket.written_at("never") is None
    revision = await bucket.create("orders", b"1")
    first = await bucket.written_at("orders")
    await bucket.update("orders", b"2", revision)
    second = await bucket.written_at("orders")
    assert first is not None
    assert second is not None
    assert before <= first <= second <= SystemClock().now()


@pytest.mark.parametrize("host", ["here", "elsewhere"])
async def test_only_a_lease_that_nobody_renews_is_given_up_and_told_of(
    nc: Connection, log: JetStreamLog, settings: Settings, tmp_path: Path, host: str
) -> None:
    bucket = CasBucket(nc, LEASES)
    holder = {
        "instance": "orders-1",
        "pid": DEAD,
        "host": socket.gethostname() if host == "here" else "another-host",
    }
    await bucket.put("orders", encode("orders-1.x", 3, dict(holder)))
    await bucket.put("presence.orders.1", b"{}")
    renewed = await bucket.written_at("orders")
    launcher = Launcher(settings, Options(services={}))
    journal = launcher._journal = Journal(log, actor="launcher")

    await launcher._release_dead(bucket)

    waiting = [event for event, _ in journal._waiting]
    if host == "elsewhere":
        assert waiting == []  # a launcher of that host watches it
        return
    (event,) = waiting
    assert isinstance(event, WatchResumed)
    assert (event.service, event.instance, event.last_seen) == ("orders", "orders-1", renewed)
    assert event.at >= event.last_seen
    entry = await bucket.get("orders")
    assert entry is not None
    assert b'"holder":""' in entry[0]
