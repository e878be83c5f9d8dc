"""The owner of the stream rewrites it: every kind of damage is found, and the message is named."""

import shutil

import pytest

from infra.audit import SEALS, Entry
from infra.audit_check import check_log
from infra.audit_seal import CannotSeal
from infra.audit_store import Checkpoints, trusted_keys
from infra.nats.connection import Connection
from tests.audit.world import Tamper, World, rewrite

AT = 8  # in the second of three sealed parts of five messages and a checkpoint each


def changed(log: list[Entry]) -> list[Entry]:
    return [e._replace(body=e.body + b" ") if e.position == AT else e for e in log]


def dropped(log: list[Entry]) -> list[Entry]:
    return [e for e in log if e.position != AT]


def reordered(log: list[Entry]) -> list[Entry]:
    return [*log[: AT - 1], log[AT], log[AT - 1], *log[AT + 1 :]]


def forged(log: list[Entry]) -> list[Entry]:
    event = log[AT - 1]
    return [*log[: AT - 1], event._replace(body=event.body + b" "), *log[AT - 1 :]]


def cut(log: list[Entry]) -> list[Entry]:
    return log[: AT - 1]


def without_seals(log: list[Entry]) -> list[Entry]:
    return [e for e in changed(log) if e.subject != SEALS]


@pytest.mark.parametrize(
    ("tamper", "first"),
    [
        (changed, (AT, "changed")),
        (dropped, (AT, "dropped")),
        (reordered, (AT + 1, f"moved: it stands at {AT}")),
        (forged, (AT, "forged: it was not there")),
        (cut, (AT, "dropped")),
        (without_seals, (6, "dropped")),
    ],
)
async def test_a_rewritten_log_is_found_out_and_the_message_named(
    world: World, owner: Connection, tamper: Tamper, first: tuple[int, str]
) -> None:
    await world.sealed_in_parts(3, 5)
    trusted = trusted_keys(world.data_dir)
    assert (await check_log(world.log, trusted, world.store)).holds
    await rewrite(owner, world, tamper)
    verdict = await check_log(world.log, trusted, world.store)
    assert not verdict.holds
    assert (verdict.faults[0].position, verdict.faults[0].what) == first
    assert verdict.sealed == 5


@pytest.mark.parametrize("tamper", [changed, dropped, reordered, forged])
async def test_nothing_is_sealed_on_top_of_a_log_that_does_not_hold(
    world: World, owner: Connection, tamper: Tamper
) -> None:
    await world.sealed_in_parts(3, 5)
    await rewrite(owner, world, tamper)
    shutil.rmtree(world.data_dir / "checkpoints")  # so that it has to read the log again
    with pytest.raises(CannotSeal, match="not as sealed at 11"):
        await world.sealer().now()


async def test_a_change_within_the_log_shows_without_any_copy_and_lies_between_two_checkpoints(
    world: World, owner: Connection
) -> None:
    await world.sealed_in_parts(3, 5)
    await rewrite(owner, world, changed)
    nothing = Checkpoints(world.data_dir / "no-such-copy")
    verdict = await check_log(world.log, trusted_keys(world.data_dir), nothing)
    first = verdict.faults[0]
    assert (first.after, first.position, verdict.sealed) == (5, 11, 5)


async def test_a_log_that_was_never_sealed_shows_nothing(world: World) -> None:
    await world.write(3)
    world.sealer()  # makes the key
    verdict = await check_log(world.log, trusted_keys(world.data_dir), world.store)
    assert [fault.what for fault in verdict.faults] == ["nothing is sealed: nothing is shown"]
