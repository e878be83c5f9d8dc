"""Views beside each other: the leader folds, its neighbours take the rows that it has changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from domain.errors import TransientError
from domain.event import Event
from domain.recorded import Recorded
from domain.view import Table
from infra.doorbell import Doorbell, ring
from infra.ports import Batch
from infra.view_file import COMMIT_S
from infra.views import SqliteViews
from tests.support.memory import MemoryLog
from tests.support.nats import until
from tests.views.test_sqlite_views import (
    COUNTS,
    Count,
    append,
    at,
    batch,
    cancelled,
    indexes,
    sealed,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.views._FOLD_S", 0.05)
    monkeypatch.setattr("infra.views._RING_EVERY_S", 0.02)
    monkeypatch.setattr("infra.views._HEARD_S", 10.0)


class Views(SqliteViews):
    """That count the events which they fold themselves."""

    folded = 0

    def apply(self, batch: Batch) -> None:
        self.folded += len(batch.events)
        super().apply(batch)

    @property
    def taking(self) -> bool:
        return self._source is not None


@asynccontextmanager
async def following(log: MemoryLog, folder: Path, name: str) -> AsyncIterator[Views]:
    views = Views(folder / name, [COUNTS], beside=True)
    task = asyncio.create_task(views.follow(log))
    try:
        yield views
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        views.close()


@asynccontextmanager
async def a_pair(log: MemoryLog, folder: Path) -> AsyncIterator[tuple[Views, Views]]:
    """A leader and a standby that takes its rows."""
    async with following(log, folder, "a") as leader, following(log, folder, "b") as standby:
        await standby.reach(await log.last_position())
        leader.lead(True)
        await until(lambda: standby.taking)
        yield leader, standby


async def test_a_standby_holds_the_leaders_rows_without_folding(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"), cancelled("b"))
    async with a_pair(log, tmp_path) as (leader, standby):
        by_itself = standby.folded
        last = await append(
            log, *(cancelled(f"n{n}") for n in range(50)), cancelled("a"), cancelled("b", "forget")
        )
        await until(lambda: standby.position >= last)
        assert standby.get(COUNTS, "a") == Count(name="a", times=2)
        assert standby.get(COUNTS, "b") is None
        assert standby.dump() == leader.dump()
        assert standby.count(COUNTS, times=1) == 50
        assert standby.folded == by_itself
        assert standby.taking


async def test_who_waits_at_a_standby_gets_what_the_leader_has_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.views.COMMIT_S", 60.0)
    log = MemoryLog()
    async with a_pair(log, tmp_path) as (_, standby):
        last = await append(log, cancelled("a"))
        await standby.reach(last, timeout_s=5.0)
        assert standby.get(COUNTS, "a") == Count(name="a", times=1)


@pytest.mark.parametrize("ends_the_rest", ["who waits", "who begins to lead"])
async def test_rows_come_together_while_nobody_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_the_rest: str
) -> None:
    log = MemoryLog()
    async with a_pair(log, tmp_path) as (leader, standby):
        monkeypatch.setattr("infra.views._REST", 1e9)
        monkeypatch.setattr("infra.views._REST_MAX_S", 60.0)
        first = await append(log, cancelled("a"))
        await until(lambda: standby.position >= first)
        last = await append(log, cancelled("a"), cancelled("b"))
        await leader.reach(last)
        await asyncio.sleep(COMMIT_S + 0.2)  # committed, and rung
        assert standby.position < last
        if ends_the_rest == "who waits":
            await standby.reach(last, timeout_s=5.0)
            assert standby.folded == 0
        else:
            standby.lead(True)
            await until(lambda: standby.position >= last)
        assert standby.dump() == leader.dump()


async def test_a_standby_makes_its_indexes_before_it_takes_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.views.AHEAD_MAX", 20)
    log = MemoryLog()
    await append(log, *(sealed() for _ in range(30)))  # nothing of ours, and much of it
    async with following(log, tmp_path, "a") as leader, following(log, tmp_path, "b") as standby:
        await standby.reach(await log.last_position())
        leader.lead(True)
        await asyncio.sleep(0.2)
        assert not standby.taking
        await append(log, cancelled("a"))
        await until(lambda: standby.taking)
        assert standby.folded == 1
        assert indexes(tmp_path / "b") == indexes(tmp_path / "a") == {"counts_times"}


async def test_where_nothing_of_ours_is_the_log_itself_is_asked(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"))
    async with a_pair(log, tmp_path) as (_, standby):
        last = await append(log, sealed())
        await standby.reach(last, timeout_s=5.0)
        await until(lambda: standby.taking)  # and goes back to taking
        with pytest.raises(TransientError, match=f"not {last + 1}"):
            await standby.reach(last + 1, timeout_s=0.2)


async def test_a_standby_folds_when_the_leader_is_not_heard_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.views._HEARD_S", 0.4)
    log = MemoryLog()
    async with following(log, tmp_path, "b") as standby:
        async with following(log, tmp_path, "a") as leader:
            leader.lead(True)
            await until(lambda: standby.taking)
        last = await append(log, cancelled("a"))
        await until(lambda: standby.position >= last)
        assert (standby.folded, standby.taking) == (1, False)


async def test_who_begins_to_lead_goes_on_from_the_rows_it_has(tmp_path: Path) -> None:
    log = MemoryLog()
    async with a_pair(log, tmp_path) as (leader, standby):
        last = await append(log, cancelled("a"), cancelled("a"), cancelled("b"))
        await until(lambda: standby.position >= last)
        heard: list[str] = []
        standby.lead(True)
        with standby.watching(COUNTS, lambda key, _: heard.append(key)):
            leader.lead(False)
            last = await append(log, cancelled("a"), cancelled("c"))
            await standby.reach(last)
            await until(lambda: leader.taking)  # the roles have changed
        assert heard == ["a", "c"]
        last = await append(log, cancelled("b", "forget"))
        await until(lambda: leader.position >= last)
        assert leader.dump() == standby.dump()
        assert leader.dump()["counts"]["a"] == Count(name="a", times=3).model_dump_json()


def test_a_row_that_comes_and_goes_between_two_commits_goes_at_the_neighbour_too(
    tmp_path: Path,
) -> None:
    views, neighbour = SqliteViews(tmp_path / "a", [COUNTS]), SqliteViews(tmp_path / "b", [COUNTS])
    views.keep_journal(True)
    made, gone = at(1, cancelled("a")), at(2, cancelled("a", "forget"))
    neighbour.apply(batch(made))  # it folds by itself, and stands in between
    views.apply(batch(made, gone))
    views.commit()
    assert neighbour.take(views._path)
    assert (neighbour.position, neighbour.get(COUNTS, "a")) == (2, None)
    views.close()
    neighbour.close()


@pytest.mark.parametrize("table", [COUNTS, replace(COUNTS, once=True)])
def test_a_row_made_again_takes_the_place_of_the_neighbours(
    tmp_path: Path, table: Table[Count]
) -> None:
    views, neighbour = SqliteViews(tmp_path / "a", [table]), SqliteViews(tmp_path / "b", [table])
    views.keep_journal(True)
    for events in (
        [at(1, cancelled("a"))],
        [at(2, cancelled("a", "forget")), at(3, cancelled("a"))],
    ):
        views.apply(batch(*events))
        views.commit()
        assert neighbour.take(views._path)
        assert neighbour.dump() == views.dump()
        assert neighbour.page(table).rows == views.page(table).rows
    views.close()
    neighbour.close()


class Lamp(BaseModel, frozen=True):
    name: str
    on: bool


def test_a_neighbour_that_stood_in_between_gets_columns_that_only_there_were_different(
    tmp_path: Path,
) -> None:
    def switched(row: Lamp | None, _: Recorded[Event], key: str) -> Lamp:
        return Lamp(name=key, on=row is None or not row.on)

    lamps = Table(
        name="lamps",
        version=1,
        subjects=COUNTS.subjects,
        row=Lamp,
        keys=COUNTS.keys,
        fold=switched,
        columns=("on",),
    )
    views, neighbour = SqliteViews(tmp_path / "a", [lamps]), SqliteViews(tmp_path / "b", [lamps])
    views.keep_journal(True)
    views.apply(batch(at(1, cancelled("a"))))
    views.commit()
    assert neighbour.take(views._path)
    neighbour.apply(batch(at(2, cancelled("a"))))
    assert neighbour.count(lamps, on=False) == 1
    views.apply(batch(at(2, cancelled("a")), at(3, cancelled("a"))))  # on, as its file says already
    views.commit()
    assert neighbour.take(views._path)
    assert neighbour.count(lamps, on=True) == 1
    views.close()
    neighbour.close()


async def test_whoever_watches_rows_folds(tmp_path: Path) -> None:
    log = MemoryLog()
    async with a_pair(log, tmp_path) as (_, standby):
        heard: list[str] = []
        with standby.watching(COUNTS, lambda key, _: heard.append(key)):
            await until(lambda: not standby.taking)
            await append(log, cancelled("a"))
            await until(lambda: heard == ["a"])


@pytest.mark.parametrize("bound", ["KEYS_BYTES_MAX", "AHEAD_MAX"])
async def test_a_standby_folds_what_the_journal_does_not_hold(
    bound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog()
    async with a_pair(log, tmp_path) as (leader, standby):
        await standby.reach(await append(log, cancelled("a")))
        monkeypatch.setattr(f"infra.view_journal.{bound}", 0)
        last = await append(log, cancelled("a"))
        await standby.reach(last)
        monkeypatch.undo()
        assert standby.folded == 1
        assert standby.dump() == leader.dump()


async def test_a_neighbours_file_that_cannot_be_read_costs_nothing(tmp_path: Path) -> None:
    log = MemoryLog()
    async with following(log, tmp_path, "b") as standby:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / standby._path.name).write_bytes(b"no database" * 1000)
        await asyncio.sleep(0.1)
        for name in ("a", "nobody", "../b", "?"):
            assert ring(standby._directory / f"{standby._path.stem}.bell", name)
        last = await append(log, cancelled("a"))
        await standby.reach(last)
        assert standby.get(COUNTS, "a") == Count(name="a", times=1)
        assert not standby.taking


async def test_a_doorbell_tells_each_line_and_never_holds_up_the_ringer(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 50) / "bell"  # a socket's name has room for 108
    path.parent.mkdir()
    assert not ring(path, "nobody has ever listened")
    heard: list[str] = []
    bell = Doorbell(path, heard.append)
    assert ring(path, "one")
    assert ring(path, "two")
    await until(lambda: heard == ["one", "two"])
    rung = 0
    while ring(path, "x" * 99):  # nobody empties it meanwhile
        rung += 1
    assert rung < 1000
    await until(lambda: len(heard) == 3)
    assert ring(path, "room again")
    bell.close()
    assert not ring(path, "nobody listens any more")
    path.unlink()
    path.write_text("left behind by something else")
    again = Doorbell(path, heard.append)
    assert ring(path, "here")
    await until(lambda: heard[-1] == "here")
    again.close()
