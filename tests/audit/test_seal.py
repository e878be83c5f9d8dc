"""The log is sealed while it grows and at the end, and never on top of what does not hold."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from infra.audit import content, seal
from infra.audit_seal import CannotSeal, Sealer
from infra.audit_store import LOG_KEY, tree_over, trusted_keys
from infra.clock import SystemClock
from infra.nats.entries import entries, seals_in
from infra.nats.log import JetStreamLog
from infra.signing import ensure_keys
from tests.audit.world import World
from tests.support.nats import until

EVERY = 20  # as in ``World.sealer``


@pytest.fixture
def world(log: JetStreamLog, tmp_path: Path) -> World:
    return World(log, tmp_path / "data")


@contextlib.asynccontextmanager
async def sealing(sealer: Sealer) -> AsyncIterator[Sealer]:
    task = asyncio.create_task(sealer.run())
    try:
        yield sealer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_so_many_messages_are_sealed_in_the_log_and_beside_it(world: World) -> None:
    async with sealing(world.sealer()):
        await world.write(3 * EVERY)
        await until(lambda: sum(c.tree_size for c in world.store.read()[0][-1:]) >= 2 * EVERY)
    kept, damaged = world.store.read()
    assert damaged == []
    assert len(kept) >= 2
    told, _ = await seals_in(world.log)
    assert {c.position for c in told} <= {c.position for c in kept}
    assert len(world.store.digests(kept[-1])) == kept[-1].position


async def test_a_log_that_was_never_sealed_is_sealed_without_waiting_for_more(
    world: World,
) -> None:
    await world.write(EVERY + 1)
    async with sealing(world.sealer()):
        await until(lambda: len(world.store.read()[0]) == 1)
    assert world.store.read()[0][0].position == EVERY + 1


async def test_a_new_log_is_sealed_once_it_falls_silent_however_small_it_is(world: World) -> None:
    await world.write(3)
    async with sealing(world.sealer(every=1000)):
        await until(lambda: len(world.store.read()[0]) == 1)
    assert world.store.read()[0][0].position == 3


async def test_the_end_seals_the_rest_once_and_nothing_when_nothing_came(world: World) -> None:
    sealer = world.sealer(every=1000)
    await world.write(5)
    await sealer.finish(bound_s=5)
    last = await world.log.last_position()
    assert (await seals_in(world.log))[0][-1].position == last - 1 == 5
    for again in (sealer, world.sealer(every=1000)):
        await again.finish(bound_s=5)
    assert await world.log.last_position() == last


async def test_a_new_start_goes_on_where_the_old_one_ended(world: World) -> None:
    await world.write(7)
    first = await world.sealer().now()
    await world.write(4)
    second = await world.sealer().now()
    assert (first.tree_size, second.tree_size) == (7, 12)  # the first seal is a message, too
    shutil.rmtree(world.data_dir / "checkpoints")  # as after a restored backup
    await world.write(1)
    third = await world.sealer().now()
    assert third.tree_size == 14
    assert len(world.store.digests(third)) == 14


async def test_a_seal_that_reached_only_the_disk_counts_and_the_next_one_follows_it(
    world: World,
) -> None:
    await world.write(3)
    await world.sealer().now()
    await world.write(2)
    async with aclosing(entries(world.log.nc, to=6)) as found:
        digests = [content(entry.subject, entry.body) async for entry in found]
    key = ensure_keys(world.data_dir, LOG_KEY).private
    assert key is not None
    world.store.add(seal(tree_over(digests), 6, key, SystemClock().now()), digests[3:])
    await world.write(1)
    await world.sealer().now()
    assert [c.position for c in world.store.read()[0]] == [3, 6, 7]
    assert [c.position for c in (await seals_in(world.log))[0]] == [3, 7]


async def test_the_log_of_another_key_is_not_sealed_until_that_key_is_trusted(
    world: World, tmp_path: Path
) -> None:
    await world.write(3)
    first = await world.sealer().now()
    other = World(world.log, tmp_path / "other")
    with pytest.raises(CannotSeal, match=first.key_id):
        await other.sealer().now()
    await asyncio.wait_for(other.sealer().run(), 10)  # it says so, once, and ends
    assert first.key_id in other.troubles[-1]
    shutil.copy(world.data_dir / "keys/log.pub", other.data_dir / "keys/log-former.pub")
    assert first.key_id in trusted_keys(other.data_dir)
    await world.write(1)
    assert (await other.sealer().now()).position == 5


async def test_a_damaged_copy_is_named_and_does_not_hinder(world: World) -> None:
    await world.write(3)
    await world.sealer().now()
    (damaged,) = (world.data_dir / "checkpoints").glob("*.json")
    damaged.write_text("{")
    assert world.store.read() == ([], [damaged])
    await world.write(1)
    await world.sealer().now()
    assert [c.position for c in world.store.read()[0]] == [5]
