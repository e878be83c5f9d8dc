"""Views in SQLite: rows and checkpoint together, rebuilt when their shape changes."""

import asyncio
import base64
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from domain.audit import LogSealed
from domain.errors import Invalid, PoisonError, TransientError, UnknownEventType
from domain.event import Event
from domain.intent import IntentCancelled
from domain.recorded import Recorded
from domain.view import Table
from infra import codec
from infra.ports import Batch, Meta, Write
from infra.replay import Difference, compare, digests, replay
from infra.views import SqliteViews
from tests.support.memory import MemoryLog

T0 = datetime(2030, 1, 1, tzinfo=UTC)


class Count(BaseModel):
    name: str
    times: int


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    event = recorded.event
    return (event.intent_id,) if isinstance(event, IntentCancelled) else ()


def _fold(row: Count | None, recorded: Recorded[Any], key: str) -> Count | None:
    if recorded.event.reason == "forget":
        return None
    return Count(name=key, times=(row.times if row else 0) + 1)


COUNTS: Table[Count] = Table(
    name="counts",
    version=1,
    subjects=("events.intent.>",),
    row=Count,
    keys=_keys,
    fold=_fold,
    columns=("times",),
)


def cancelled(intent_id: str, reason: str = "r") -> IntentCancelled:
    return IntentCancelled(intent_id=intent_id, at=T0, reason=reason)


def sealed() -> LogSealed:
    return LogSealed(at=T0, position=1, tree_size=1, root="", key_id="", signature="")


def at(position: int, event: Event) -> Recorded[Event]:
    return Recorded(position=position, event=event, subject=event.subject, id=str(position))


def batch(*events: Recorded[Event]) -> Batch:
    return Batch(events, events[-1].position, 0)


async def append(log: MemoryLog, *events: Event) -> int:
    position = 0
    for event in events:
        meta = Meta(command_id=f"{await log.last_position()}", actor="test")
        (position,) = await log.append([Write(event)], meta=meta)
    return position


def test_an_event_delivered_again_changes_nothing(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    first, second = at(3, cancelled("a")), at(5, cancelled("a"))
    views.apply(batch(first))
    views.apply(batch(first, second))
    assert views.get(COUNTS, "a") == Count(name="a", times=2)
    assert views.position == 5


def test_rows_and_checkpoint_survive_a_restart_together(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(
        batch(at(3, cancelled("a")), at(4, cancelled("b")), at(5, cancelled("b", "forget")))
    )
    views.close()
    again = SqliteViews(tmp_path, [COUNTS])
    assert again.position == 5
    assert again.all(COUNTS) == [Count(name="a", times=1)]


def test_a_batch_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(batch(at(3, cancelled("a"))))
    views.close()

    def explode(row: Count | None, recorded: Recorded[Any], key: str) -> Count | None:
        if key == "bad":
            raise PoisonError("bad")
        return _fold(row, recorded, key)

    broken = SqliteViews(tmp_path, [replace(COUNTS, fold=explode)])
    with pytest.raises(PoisonError):
        broken.apply(batch(at(4, cancelled("a")), at(5, cancelled("bad"))))
    assert broken.position == 3
    assert broken.get(COUNTS, "a") == Count(name="a", times=1)


class Step(BaseModel):
    name: str
    reason: str


async def test_rows_are_found_by_what_their_keys_begin_with(tmp_path: Path) -> None:
    """Without an index, and only those: names hold slashes and whatever sorts beside them."""
    steps: Table[Step] = Table(
        name="steps",
        version=1,
        subjects=("events.intent.>",),
        row=Step,
        keys=lambda recorded: (f"{recorded.event.intent_id}/{recorded.position:015d}",),
        fold=lambda _, r, key: Step(name=key.rpartition("/")[0], reason=r.event.reason),
        once=True,
        columns=("name",),
        prefix="name",
    )
    names = ["a", "a/b", "a0", "a/", "ab", "a.", "", "ä", "A", "a"]
    views = SqliteViews(tmp_path, [steps])
    views.apply(batch(*(at(n, cancelled(name, str(n))) for n, name in enumerate(names, 1))))
    for name in [*names, "b", "%"]:
        expected = [str(n) for n, other in enumerate(names, 1) if other == name]
        assert [row.reason for row in views.all(steps, name=name)] == expected
        assert views.count(steps, name=name) == len(expected)
        page = views.page(steps, where={"name": name}, limit=500)
        assert [row.reason for row in page.rows] == expected
    assert views.count(steps, name=["a", "ab"]) == 3
    assert indexes(tmp_path) == set()
    await views.index()
    assert indexes(tmp_path) == {"steps_key"}
    with closing(sqlite3.connect(files(tmp_path)[0])) as db:
        plan = str(
            db.execute(
                "EXPLAIN QUERY PLAN SELECT body FROM steps WHERE name IS 'a'"
                " AND key > 'a/' AND key < 'a0' ORDER BY key"
            ).fetchall()
        )
    assert "steps_key (key>? AND key<?)" in plan, plan


def indexes(folder: Path) -> set[str]:
    """Those that our own statements made, of the only file there."""
    (file,) = files(folder)
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE INDEX%'")
        return {name for (name,) in found if name != "journal_places"}


async def test_a_short_log_is_folded_with_its_indexes_there(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"))
    views = SqliteViews(tmp_path, [COUNTS])
    assert indexes(tmp_path) == set()
    await follow_to_the_end(views, log)
    assert indexes(tmp_path) == {"counts_times"}


class Slow(SqliteViews):
    """Whose indexes are made when the test says so."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def index(self) -> None:
        self.begun.set()
        await self.go_on.wait()
        await super().index()


async def test_the_end_of_a_long_log_is_there_when_its_indexes_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.views.AHEAD_MAX", 20)
    monkeypatch.setattr("infra.views.BATCH", 10)
    log = MemoryLog()
    last = await append(log, *(cancelled(f"{n % 7}") for n in range(60)))
    views = Slow(tmp_path, [COUNTS])
    following = asyncio.create_task(views.follow(log))
    await asyncio.wait_for(views.begun.wait(), 5)
    assert 0 < last - views.position <= 10  # nearly at the end
    assert views.count(COUNTS, times=8) + views.count(COUNTS, times=7) == 7  # queries go on
    with pytest.raises(TransientError, match="with its indexes"):
        await views.reach(views.position, timeout_s=0.1)
    later = await append(log, cancelled("7"))
    assert indexes(tmp_path) == set()
    views.go_on.set()
    await views.reach(later)
    assert indexes(tmp_path) == {"counts_times"}
    assert views.count(COUNTS, times=1) == 1
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    views.close()
    plain = SqliteViews(tmp_path / "plain", [COUNTS])
    await follow_to_the_end(plain, log)
    assert SqliteViews(tmp_path, [COUNTS]).dump() == plain.dump()


async def test_indexes_that_were_cut_off_are_made_by_the_next(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"))
    views = Slow(tmp_path, [COUNTS])
    following = asyncio.create_task(views.follow(log))
    await asyncio.wait_for(views.begun.wait(), 5)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    views.close()
    assert indexes(tmp_path) == set()
    await follow_to_the_end(SqliteViews(tmp_path, [COUNTS]), log)
    assert indexes(tmp_path) == {"counts_times"}


async def test_who_is_cancelled_leaves_no_index_half_made(tmp_path: Path) -> None:
    columns = ("times", "name")
    views = SqliteViews(tmp_path, [replace(COUNTS, columns=columns)])
    views.apply(batch(*(at(n, cancelled(f"{n}")) for n in range(1, 20_001))))
    for after_s in (0.0, 0.001, 0.003, 0.006):
        indexing = asyncio.create_task(views.index())
        await asyncio.sleep(after_s)
        indexing.cancel()
        with suppress(asyncio.CancelledError):
            await indexing
    views.close()
    again = SqliteViews(tmp_path, [replace(COUNTS, columns=columns)])
    await again.index()
    assert indexes(tmp_path) == {"counts_times", "counts_name"}
    assert again.count(again._tables[0], name="77") == 1
    assert again.count(again._tables[0], times=1) == 20_000


async def test_a_file_that_cannot_be_indexed_is_of_no_more_use(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    with closing(sqlite3.connect(files(tmp_path)[0])) as db:
        db.execute("ALTER TABLE counts RENAME TO lost")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await views.index()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        views.all(COUNTS)


async def test_a_changed_view_is_built_anew_beside_the_old_one(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"), cancelled("a"))
    old = SqliteViews(tmp_path, [COUNTS])
    old_goes_on = asyncio.create_task(old.follow(log))
    await old.reach(await log.last_position())
    (old_file,) = files(tmp_path)
    changed = replace(COUNTS, version=2)
    new = SqliteViews(tmp_path, [changed])
    assert new.position == 0
    assert len(files(tmp_path)) == 2
    end = await append(log, cancelled("a"))
    await old.reach(end)  # the live view keeps serving, and reading
    assert old.all(COUNTS) == [Count(name="a", times=3)]
    await follow_to_the_end(new, log)
    assert new.get(changed, "a") == Count(name="a", times=3)
    assert old.all(COUNTS) == [Count(name="a", times=3)]
    old_goes_on.cancel()
    assert len(files(tmp_path)) == 1
    assert old_file not in files(tmp_path)


async def test_a_rebuild_that_is_cut_off_goes_on_from_its_last_commit(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, *(cancelled(f"{n % 3}") for n in range(30)))
    everything = [at(n, cancelled(f"{(n - 1) % 3}")) for n in range(1, 31)]
    old = SqliteViews(tmp_path, [COUNTS])
    await follow_to_the_end(old, log)
    old.close()
    changed = replace(COUNTS, version=2)
    new = SqliteViews(tmp_path, [changed])
    new.apply(batch(*everything[:12]))
    new.commit()
    new.apply(batch(*everything[12:20]))
    new._db.close()  # killed
    assert len(files(tmp_path)) == 2  # nothing has taken the old one's place
    again = SqliteViews(tmp_path, [changed])
    assert again.position == 12
    await follow_to_the_end(again, log)
    assert again.dump() == in_one_go(tmp_path / "plain", everything)
    assert len(files(tmp_path)) == 1


def in_one_go(folder: Path, events: list[Recorded[Event]]) -> dict[str, dict[str, str]]:
    """What the same events give in one go."""
    plain = SqliteViews(folder, [COUNTS])
    plain.apply(batch(*events))
    return plain.dump()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sqlite"))


async def follow_to_the_end(views: SqliteViews, log: MemoryLog) -> None:
    task = asyncio.create_task(views.follow(log))
    await views.reach(await log.last_position())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_damaged_file_is_built_again(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(batch(at(3, cancelled("a"))))
    views.close()
    file = next(tmp_path.glob("*.sqlite"))
    file.write_bytes(b"this is no database" * 100)
    again = SqliteViews(tmp_path, [COUNTS])
    assert (again.position, again.all(COUNTS)) == (0, [])


def test_a_file_that_cannot_be_had_now_is_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(batch(at(3, cancelled("a"))))
    views.close()
    file = next(tmp_path.glob("*.sqlite"))
    monkeypatch.setattr("infra.view_file.sqlite3.connect", partial(sqlite3.connect, timeout=0.05))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            SqliteViews(tmp_path, [COUNTS])
    again = SqliteViews(tmp_path, [COUNTS])
    assert (again.position, again.get(COUNTS, "a")) == (3, Count(name="a", times=1))


async def test_reach_counts_events_of_other_subjects_too(tmp_path: Path) -> None:
    log = MemoryLog()
    views = SqliteViews(tmp_path, [COUNTS])
    task = asyncio.create_task(views.follow(log))
    await append(log, cancelled("a"))
    other = await append(log, sealed())
    await views.reach(other, timeout_s=5)
    assert views.position == other
    with pytest.raises(TransientError, match="position"):
        await views.reach(other + 1, timeout_s=0.05)
    task.cancel()


def test_pages_filter_order_and_join(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    events = [cancelled(name) for name in "abcde"] + [
        cancelled("c"),
        cancelled("c"),
        cancelled("b"),
    ]
    views.apply(batch(*(at(n, event) for n, event in enumerate(events, 1))))
    first = views.page(COUNTS, order="times", descending=True, limit=2)
    assert [row.name for row in first.rows] == ["c", "b"]
    second = views.page(COUNTS, order="times", descending=True, limit=3, cursor=first.cursor)
    assert [row.name for row in second.rows] == ["e", "d", "a"]
    assert (second.cursor, second.total) == ("", 5)
    assert views.count(COUNTS, times=1) == 3
    assert views.count(COUNTS, below=("times", 3)) == 4
    assert [row.name for row in views.page(COUNTS, where={"times": (2, 3)}).rows] == ["b", "c"]
    assert [row.name for row in views.page(COUNTS, text='"NAME":"D"').rows] == ["d"]
    assert views.page(COUNTS, text="%").total == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"order": "nope"}, "order"),
        ({"where": {"nope; DROP TABLE counts": 1}}, "where"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"cursor": "%%"}, "cursor"),
        ({"cursor": base64.b64encode(b'[1, "a"]').decode()}, "cursor"),
        ({"cursor": base64.b64encode(b"[1, 1" + b"0" * 30 + b"]").decode()}, "cursor"),
        ({"cursor": base64.b64encode(b"[1" + b"0" * 30 + b", 1]").decode()}, "cursor"),
    ],
)
def test_a_wrong_query_names_its_field(tmp_path: Path, query: dict[str, Any], field: str) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    with pytest.raises(Invalid) as caught:
        views.page(COUNTS, **query)
    assert caught.value.field == field


async def test_a_replay_equals_the_live_views_and_finds_a_changed_row(tmp_path: Path) -> None:
    log = MemoryLog()
    await append(log, cancelled("a"), sealed(), cancelled("b"), cancelled("a"))
    end = await append(log, sealed())
    live = SqliteViews(tmp_path / "live", [COUNTS])
    await follow_to_the_end(live, log)
    fresh = await replay(log, [COUNTS], tmp_path / "fresh", to=end)
    assert compare(digests(fresh.dump()), digests(live.dump())) == []
    earlier = await replay(log, [COUNTS], tmp_path / "earlier", to=3)
    assert earlier.get(COUNTS, "a") == Count(name="a", times=1)
    live.apply(batch(at(end + 1, cancelled("b"))))
    found = compare(digests(fresh.dump()), digests(live.dump()))
    assert found == [Difference("counts", "b", "different")]


def test_a_watcher_hears_of_every_changed_row_and_of_those_that_go(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    heard: list[tuple[str, Count | None]] = []
    with views.watching(COUNTS, lambda key, row: heard.append((key, row))):
        views.apply(batch(at(1, cancelled("a")), at(2, cancelled("a"))))
        views.apply(batch(at(3, cancelled("a", "forget"))))
    views.apply(batch(at(4, cancelled("b"))))
    assert heard == [("a", Count(name="a", times=2)), ("a", None)]


class Inner(BaseModel):
    text: str


class Outer(BaseModel):
    inner: Inner
    times: int
    open: bool


def test_some_fields_are_read_in_the_order_of_the_log(tmp_path: Path) -> None:
    table: Table[Outer] = Table(
        name="outer",
        version=1,
        subjects=("events.intent.>",),
        row=Outer,
        keys=_keys,
        fold=lambda _, r, key: Outer(
            inner=Inner(text=r.event.reason), times=r.position, open=key != "b"
        ),
        columns=("open",),
    )
    views = SqliteViews(tmp_path, [table])
    texts = {"c": 'a "quoted" line\n', "b": "not open", "a": "ä $.x", "d": ""}
    views.apply(
        batch(*(at(n, cancelled(key, texts[key])) for n, key in enumerate("cbad", start=1)))
    )
    paths = ("inner.text", "times", "missing")
    read = views.fields(table, *paths, where={"open": True}, limit=2)
    assert [row[1:] for row in read] == [("c", texts["c"], 1, None), ("a", texts["a"], 3, None)]
    rest = views.fields(table, *paths, where={"open": True}, above=read[-1][0], limit=2)
    assert [row[1:] for row in rest] == [("d", "", 4, None)]
    assert views.fields(table, above=rest[-1][0], limit=2) == []
    assert [key for _, key in views.fields(table, limit=9)] == list("cbad")
    with pytest.raises(Invalid, match="'times' is not one of open"):
        views.fields(table, where={"times": 1}, limit=1)


def test_a_file_that_began_empty_is_not_asked_for_what_never_came(tmp_path: Path) -> None:
    """The answer would wait for a commit. What a restart finds there, it has to ask for."""

    def asked(views: SqliteViews) -> list[str]:
        found: list[str] = []
        views._db.set_trace_callback(lambda sql: found.append(sql) if "key = " in sql else None)
        return found

    views = SqliteViews(tmp_path, [COUNTS])
    questions = asked(views)
    events = [at(n, cancelled(f"i-{n}")) for n in range(1, 301)]
    views.apply(batch(*events[:150]))
    views.commit()
    views.apply(batch(*events[150:]))
    assert views.get(COUNTS, "i-301") is None
    assert questions == []
    views.close()

    again = SqliteViews(tmp_path, [COUNTS])
    questions = asked(again)
    again.apply(batch(at(301, cancelled("i-1")), at(302, cancelled("i-301"))))
    assert again.get(COUNTS, "i-1") == Count(name="i-1", times=2)
    assert again.get(COUNTS, "i-301") == Count(name="i-301", times=1)
    assert len(questions) == 2


@pytest.mark.parametrize("table", [COUNTS, replace(COUNTS, open=lambda row: row.times % 3 > 0)])
def test_what_is_kept_hot_is_what_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table[Count]
) -> None:
    monkeypatch.setattr("infra.view_file.HOT_BYTES_MAX", 60)  # two rows
    monkeypatch.setattr("infra.view_file.OPEN_BYTES_MAX", 60)
    views = SqliteViews(tmp_path, [table])
    for n in range(1, 60):
        views.apply(batch(at(n, cancelled("abcde"[n * n % 5], "forget" if n % 7 == 0 else ""))))
        if n % 4 == 0:
            views.commit()
    kept = {name: views.get(COUNTS, name) for name in "abcde"}
    views.close()
    again = SqliteViews(tmp_path, [COUNTS])
    assert kept == {name: again.get(COUNTS, name) for name in "abcde"}
    rows = again.all(COUNTS)
    assert rows
    for row in rows:  # the columns that queries use changed with the rows
        assert again.count(COUNTS, times=row.times) == sum(r.times == row.times for r in rows)


def test_only_open_rows_stay_in_memory_where_a_table_tells_them_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(COUNTS, open=lambda row: row.times < 2)
    views = SqliteViews(tmp_path, [table])
    views.apply(batch(at(1, cancelled("a")), at(2, cancelled("b")), at(3, cancelled("b"))))
    views.commit()
    read: list[str] = []
    validate = Count.model_validate_json

    def noted(body: str) -> Count:
        read.append(body)
        return validate(body)

    monkeypatch.setattr(Count, "model_validate_json", noted)
    assert views.get(table, "a") == Count(name="a", times=1)
    assert not read
    assert views.get(table, "b") == Count(name="b", times=2)
    assert len(read) == 1
    views.apply(batch(at(4, cancelled("a")), at(5, cancelled("b"))))
    views.commit()
    assert views.all(table) == [Count(name="a", times=2), Count(name="b", times=3)]
    assert views.count(table, times=2) == 1


def committed(folder: Path) -> int:
    """The checkpoint in the file, as another process would find it."""
    (file,) = folder.glob("*.sqlite")
    with closing(sqlite3.connect(file)) as other:
        return int(other.execute("SELECT position FROM checkpoint").fetchone()[0])


def test_a_query_sees_what_is_not_committed_and_a_crash_loses_rows_and_checkpoint_alike(
    tmp_path: Path,
) -> None:
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(batch(at(3, cancelled("a"))))
    views.commit()
    views.apply(batch(at(4, cancelled("a")), at(5, cancelled("b"))))
    assert views.count(COUNTS) == 2
    assert [row.times for row in views.all(COUNTS)] == [2, 1]
    assert committed(tmp_path) == 3
    views._db.close()  # as a kill would, in the middle of the transaction
    again = SqliteViews(tmp_path, [COUNTS])
    assert again.position == 3
    assert again.all(COUNTS) == [Count(name="a", times=1)]


async def test_what_was_followed_is_committed_soon_and_when_it_ends(tmp_path: Path) -> None:
    log = MemoryLog()
    views = SqliteViews(tmp_path, [COUNTS])
    task = asyncio.create_task(views.follow(log))
    for _ in range(2):
        end = await append(log, cancelled("a"))
        async with asyncio.timeout(5):
            while committed(tmp_path) < end:  # noqa: ASYNC110 - another process's view
                await asyncio.sleep(0.01)
    end = await append(log, cancelled("b"))
    await views.reach(end)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    views.close()
    assert committed(tmp_path) == end


async def test_many_changes_are_committed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.views.CHANGES_MAX", 3)
    views = SqliteViews(tmp_path, [COUNTS])
    views.apply(batch(at(1, cancelled("a")), at(2, cancelled("b"))))
    assert committed(tmp_path) == 0
    views.apply(batch(at(3, cancelled("c"))))
    await views.committed()
    assert committed(tmp_path) == 3


async def test_a_file_that_cannot_be_written_ends_the_views(tmp_path: Path) -> None:
    log = MemoryLog()
    views = SqliteViews(tmp_path, [COUNTS])
    await append(log, cancelled("a"))
    await follow_to_the_end(views, log)
    views.commit()
    views._db.execute("PRAGMA query_only = ON")
    task = asyncio.create_task(views.follow(log))
    await append(log, cancelled("a"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        async with asyncio.timeout(5):
            await asyncio.shield(task)
    with pytest.raises(sqlite3.OperationalError):
        views.get(COUNTS, "a")
    views.close()
    again = SqliteViews(tmp_path, [COUNTS])
    assert (again.position, again.get(COUNTS, "a")) == (1, Count(name="a", times=1))


async def test_events_that_no_table_names_are_passed_over_unread(tmp_path: Path) -> None:
    log = MemoryLog()
    named = replace(COUNTS, events=(IntentCancelled,))
    views = SqliteViews(tmp_path, [named])
    task = asyncio.create_task(views.follow(log))
    await append(log, cancelled("a"))
    body = codec.encode(cancelled("b"), id="x", meta=Meta(command_id="x", actor="test"))
    failed = body.replace(b"IntentCancelled", b"IntentFailed")  # its fields do not fit
    end = await log.publish("events.intent.b", failed)
    await views.reach(end)
    assert views.all(named) == [Count(name="a", times=1)]
    await log.publish("events.intent.b", body.replace(b"Cancelled.v1", b"Cancelled.v2"))
    with pytest.raises(UnknownEventType, match=f"position {end + 1}"):
        await task
    views.close()
    assert SqliteViews(tmp_path, [named]).position == end
