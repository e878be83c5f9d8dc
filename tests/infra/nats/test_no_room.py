"""A server without room left: the error says what to do, and nothing is called written that is not.

A batch for which the room ends in the middle is kept in part by the server (2.15.1) and not
answered: the only case in which an append is not whole, and it is named.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError, StoredEvent

from domain.errors import LogRefused
from infra.ports import Write
from tests.contract.test_event_log import degraded, meta
from tests.eventsourcing.support import environment, factory
from tests.support.nats import Server, fresh_log, running_server, settings_for

LARGE = "x" * 300_000  # bytes: seven of them fill the server


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, limits="max_file_store: 2MB") as server:
        yield server


async def test_without_room_an_append_is_refused_and_the_error_says_what_to_do(
    small: Server,
) -> None:
    async with fresh_log(settings_for(small.data_dir, small.port)) as log:
        for number in range(7):
            await log.append([Write(degraded("a", LARGE))], meta=meta(f"{number}"))
        for writes in ([Write(degraded("a", LARGE))], [Write(degraded("a")), Write(degraded("b"))]):
            with pytest.raises(LogRefused, match=r"nothing was written.*free disk space"):
                await log.append(writes, meta=meta("one too many"))
        with pytest.raises(LogRefused, match="free disk space"):
            await log.submit(LARGE[:200_000].encode(), message_id="m")
        assert await log.last_position() == 7
        assert len(await log.read("events.service.a")) == 7  # reading goes on


async def test_an_append_that_the_server_kept_in_part_is_never_called_done(small: Server) -> None:
    async with fresh_log(settings_for(small.data_dir, small.port)) as log:
        for number in range(6):
            await log.append([Write(degraded("a", LARGE))], meta=meta(f"{number}"))
        pair = [Write(degraded("a", LARGE)), Write(degraded("b", LARGE))]
        async with asyncio.timeout(20):
            with pytest.raises(LogRefused, match=r"only a part.*from position 7.*free disk space"):
                await log.append(pair, meta=meta("pair"))
        assert await log.last_position() == 7
        assert await log.read("events.service.b") == []


@pytest.mark.parametrize("together", [1, 2], ids=["one event", "two in one insert"])
def test_a_recorder_says_so_too(small: Server, together: int) -> None:
    made = factory(environment(small), "small")
    recorder = made.application_recorder()
    state = LARGE.encode()
    done = 0

    def fill() -> None:
        nonlocal done
        for version in range(1, 20, together):
            versions = range(version, version + together)
            recorder.insert_events([StoredEvent("originator", v, "topic", state) for v in versions])
            done += together

    with pytest.raises(OperationalError, match="free disk space"):
        fill()
    assert done >= 2
    found = recorder.select_events("originator")
    assert [event.originator_version for event in found][:done] == list(range(1, done + 1))
    made.close()
