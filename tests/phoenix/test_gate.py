"""A leader that cannot confirm its lease waits, and its loop turns meanwhile."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.delivery_events import ServiceRecovered
from domain.errors import TransientError
from infra.clock import SystemClock
from infra.nats import setup
from infra.nats.connection import open_connection
from infra.nats.kv import CasBucket
from infra.nats.log import JetStreamLog
from infra.ports import Fence, Meta, Write
from phoenix import elector as elector_module
from phoenix.elector import Elector
from phoenix.gate import GatedLog
from phoenix.lease import Election, Timing
from tests.support.nats import Server, connected, running_server, settings_for, until

LEASE_S = 0.6


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


@contextlib.contextmanager
def silent(server: Server) -> Iterator[None]:
    """The server takes what it is sent and answers nothing until the block ends."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@dataclass
class Leader:
    elector: Elector
    log: GatedLog

    async def append(self) -> int:
        event = ServiceRecovered(at=SystemClock().now(), name="gate")
        fence = Fence("gate", 0, 1)
        (position,) = await self.log.append(
            [Write(event)], meta=Meta(command_id="gate", actor="gate"), fence=fence
        )
        return position


@contextlib.asynccontextmanager
async def leading(server: Server) -> AsyncIterator[Leader]:
    settings = settings_for(server.data_dir, server.port)
    owner = await open_connection(settings, "owner")
    await setup.ensure(owner)
    await owner.close()
    async with connected(settings) as nc:
        log = JetStreamLog(nc)
        election = Election("gate-0.1", Timing(LEASE_S), preferred=True)
        elector = Elector(
            CasBucket(nc, setup.LEASES), "gate", election, about={}, on_lead=lambda _: None
        )
        taking_part = asyncio.create_task(elector.run())
        await until(elector.may_act)
        try:
            yield Leader(elector, GatedLog(log, elector.confirmed))
        finally:
            taking_part.cancel()
            await asyncio.gather(taking_part, return_exceptions=True)
            await log.close()


async def test_a_fenced_append_waits_out_an_outage_of_the_lease(own_server: Server) -> None:
    async with leading(own_server) as leader:
        with silent(own_server):
            await until(lambda: not leader.elector.may_act())
            appending = [asyncio.create_task(leader.append()) for _ in range(3)]
            done, _ = await asyncio.wait(appending, timeout=0.05)  # the loop turns
            assert not done
        positions = await asyncio.wait_for(asyncio.gather(*appending), 20)
        assert len(set(positions)) == 1  # one command, however often
        assert leader.elector.holds


async def test_the_wait_is_bounded(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elector_module, "_CONFIRMED_S", 0.1)
    async with leading(own_server) as leader:
        with silent(own_server):
            await until(lambda: not leader.elector.may_act())
            with pytest.raises(TransientError, match="has not been confirmed"):
                await asyncio.wait_for(leader.append(), 5)


async def test_many_fenced_appends_pass_the_same_gate(own_server: Server) -> None:
    async with leading(own_server) as leader:
        event = ServiceRecovered(at=SystemClock().now(), name="gate")
        appends = [([Write(event)], Meta(command_id=f"{n}", actor="gate")) for n in range(3)]
        written = await leader.log.append_each(appends, fence=Fence("gate", 0, 1))
        assert [len(outcome) for outcome in written if isinstance(outcome, tuple)] == [1, 1, 1]
        assert await leader.elector.release(bound_s=2)
        with pytest.raises(TransientError, match="has not been confirmed"):
            await leader.log.append_each(appends, fence=Fence("gate", 0, 1))
        assert await leader.log.append_each(appends) == written  # without a fence, without a lease


async def test_whoever_waits_learns_that_the_lease_was_given_up(own_server: Server) -> None:
    async with leading(own_server) as leader:
        assert await leader.elector.release(bound_s=2)
        with pytest.raises(TransientError, match="has not been confirmed"):
            await asyncio.wait_for(leader.append(), 1)
