"""Views in SQLite are what the plain fold says, whatever the events, batches, looks and crashes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from domain.event import EVENT_TYPES, Event
from domain.intent import RawIntent
from domain.recorded import Recorded
from domain.view import Table, apply, made, updated
from infra.codec import decode
from infra.ports import Batch
from infra.view_journal import PLACES, Gap
from infra.views import SqliteViews
from projections.intents import TimelineRow
from tests.history.samples import read
from tests.support.memory import T0
from tests.support.tables import tables

NAMES = ("a", "b", "c")
DRAWN: dict[str, tuple[object, ...]] = {  # fields that decide which rows an event touches, and how
    **dict.fromkeys(
        ("intent_id", "build_id", "service_name", "service", "instance", "name"), NAMES
    ),
    **dict.fromkeys(("decision_id", "approval_id", "approver", "delegate"), NAMES),
    **dict.fromkeys(("version", "to_version", "on_behalf_of"), ("", "1", "2")),
    **dict.fromkeys(("attempt", "epoch", "quorum", "raw_position", "base"), (1, 2)),
}


TABLES = tables()
SAMPLES = [(subject, orjson.loads(body)) for _, subject, body in read()]


def drawn(position: int, chosen: int, picks: list[int]) -> Recorded[Event]:
    """A stored sample with other ids, at a position."""
    if chosen == len(SAMPLES):
        raw = RawIntent(at=T0, subject_name="intents.submit", body=b"\xff{")
        return Recorded(position=position, event=raw, subject="intents.submit", id="")
    subject, stored = SAMPLES[chosen]
    data = dict(stored["data"])
    for pick, field in zip(picks, sorted(DRAWN.keys() & data.keys()), strict=False):
        data[field] = DRAWN[field][pick % len(DRAWN[field])]
    body = orjson.dumps(stored | {"data": data, "correlationid": NAMES[picks[0]]})
    return decode(subject, body, position=position, time=T0)


def pool(table: Table[Any]) -> list[int]:
    """The samples that a table is folded from: drawn alone, they meet in its rows."""
    kinds = [EVENT_TYPES[stored["type"]] for _, stored in SAMPLES] + [RawIntent]
    return [n for n, kind in enumerate(kinds) if table.wants(kind)]


EVENTS = st.sampled_from(TABLES).flatmap(
    lambda table: st.lists(
        st.tuples(
            st.sampled_from(pool(table)), st.lists(st.integers(0, 2), min_size=6, max_size=6)
        ),
        max_size=40,
    )
)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from(("go on", "look", "commit", "open again", "crash"))
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_events=EVENTS, steps=STEPS, hot_bytes=st.sampled_from((0, 3000, 10**6)))
def test_any_events_in_any_batches_give_the_rows_of_the_plain_fold(
    drawn_events: list[tuple[int, list[int]]],
    steps: list[tuple[int, str]],
    hot_bytes: int,
) -> None:
    log = [drawn(n, chosen, picks) for n, (chosen, picks) in enumerate(drawn_events, 1)]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.view_file.HOT_BYTES_MAX", hot_bytes)
        patch.setattr("infra.view_file.OPEN_BYTES_MAX", hot_bytes)
        views = followed(Path(name), log, steps)
        found = views.dump()
        columns = {
            table.name: {key: views.get(table, key) for key in found[table.name]}
            for table in TABLES
        }
        counted = {
            (table.name, column, value): views.count(table, **{column: value})
            for table in TABLES
            for column in table.columns
            for value in {getattr(row, column) for row in columns[table.name].values()}
        }
        views.close()
    expected = {table.name: folded(table, log) for table in TABLES}
    assert found == {
        name: {key: row.model_dump_json() for key, row in sorted(rows.items())}
        for name, rows in expected.items()
    }
    for row in (
        row for rows in expected.values() for row in rows.values()
    ):  # put together unchecked
        assert type(row).model_validate_json(row.model_dump_json()) == row
        assert list(vars(row)) == list(type(row).model_fields)
    for (name, column, value), count in counted.items():
        assert count == sum(getattr(row, column) == value for row in expected[name].values())


def folded(table: Table[Any], log: list[Recorded[Event]]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for recorded in log:
        rows = apply(table, rows, recorded)
    return rows


def turns(steps: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """How many events next and what happens then, again and again; in the end all of them."""
    for turn in range(200):
        yield steps[turn % len(steps)]
    while True:
        yield 10**6, "go on"


def next_batch(log: list[Recorded[Event]], position: int, size: int) -> Batch | None:
    events = log[position : position + size]
    if not events:
        return None
    return Batch(events, events[-1].position, len(log) - events[-1].position)


def followed(folder: Path, log: list[Recorded[Event]], steps: list[tuple[int, str]]) -> SqliteViews:
    """Views that have been given the whole log, whatever happened on the way."""
    views = SqliteViews(folder, TABLES)
    for size, then in turns(steps):
        if (batch := next_batch(log, views.position, size)) is None:
            break
        views.apply(batch)
        match then:
            case "look":
                views.dump()
            case "commit":
                views.commit()
            case "open again":
                views.close()
                views = SqliteViews(folder, TABLES)
            case "crash":
                views._db.close()
                views = SqliteViews(folder, TABLES)
    return views


BESIDE = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from(("go on", "look", "commit", "open again", "journal", "take", "fold")),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_events=EVENTS, steps=BESIDE, keys_bytes=st.sampled_from((100, 10**6)))
def test_rows_taken_from_a_neighbour_are_those_of_the_plain_fold(
    drawn_events: list[tuple[int, list[int]]], steps: list[tuple[int, str]], keys_bytes: int
) -> None:
    log = [drawn(n, chosen, picks) for n, (chosen, picks) in enumerate(drawn_events, 1)]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.view_journal.KEYS_BYTES_MAX", keys_bytes)
        neighbour = beside(Path(name), log, steps)
        found = {table.name: stored(neighbour, table) for table in TABLES}
        neighbour.close()
    for table in TABLES:
        rows, places = folded(table, log), placed(table, log)
        assert found[table.name] == {
            key: (places[key], row.model_dump_json(), *(getattr(row, c) for c in table.columns))
            for key, row in rows.items()
        }


def stored(views: SqliteViews, table: Table[Any]) -> dict[str, tuple[Any, ...]]:
    """What the file holds under each key: the row's place, its JSON and its columns."""
    views.count(table)  # all of it is in the file
    found = views._db.execute(f"SELECT * FROM {table.name}").fetchall()
    return {key: (place, *rest) for place, key, *rest in found}


def placed(table: Table[Any], log: list[Recorded[Event]]) -> dict[str, int]:
    """Where each row was made: by the event it has been there since, or was last folded anew by."""
    places: dict[str, int] = {}
    rows: dict[str, Any] = {}
    for recorded in log:
        before, rows = rows, apply(table, rows, recorded)
        keys = tuple(table.keys(recorded)) if table.wants(type(recorded.event)) else ()
        for number, key in enumerate(keys):
            if key not in before or table.once or type(recorded.event) in table.anew:
                places[key] = recorded.position * PLACES + number
    return places


def beside(folder: Path, log: list[Recorded[Event]], steps: list[tuple[int, str]]) -> SqliteViews:
    """A neighbour of views that have been given the whole log; it has taken or folded all of it."""
    views, neighbour = SqliteViews(folder / "a", TABLES), SqliteViews(folder / "b", TABLES)
    views.keep_journal(True)
    for size, then in turns(steps):
        if (batch := next_batch(log, views.position, size)) is None:
            break
        views.apply(batch)
        match then:
            case "look":
                views.dump()
            case "commit":
                views.commit()
            case "open again":
                views.close()
                views = SqliteViews(folder / "a", TABLES)
            case "journal":
                views.keep_journal(not views._journal.kept)
            case "take":
                views.commit()
                take(neighbour, views, log)
            case "fold":
                fold(neighbour, views, log)
    views.close()
    take(neighbour, views, log)
    assert neighbour.position == len(log)
    return neighbour


def fold(neighbour: SqliteViews, views: SqliteViews, log: list[Recorded[Event]]) -> None:
    """What the other views have, and the neighbour has not, by events."""
    batch = next_batch(log[: views.position], neighbour.position, len(log))
    if batch is not None:
        neighbour.apply(batch)


def take(neighbour: SqliteViews, views: SqliteViews, log: list[Recorded[Event]]) -> None:
    """By rows, or where the journal does not reach back, by events."""
    before = neighbour.position
    try:
        further = neighbour.take(views._path)
    except Gap as gap:
        if isinstance(gap.__cause__, sqlite3.Error):
            raise gap.__cause__ from None  # a row that could not be taken
        assert neighbour.position == before
        fold(neighbour, views, log)
    else:
        assert further == (views.position > before)
    assert neighbour.position == max(before, views.position)


class Pair(BaseModel, frozen=True):
    name: str
    parts: tuple[int, ...] = ()
    note: str = ""


def test_an_updated_row_is_what_model_copy_makes() -> None:
    row = Pair(name="a", parts=(1, 2))
    mine, theirs = updated(row, {"note": "n"}), row.model_copy(update={"note": "n"})
    assert mine == theirs
    assert mine.model_dump_json() == theirs.model_dump_json()
    assert (row.note, mine.parts is row.parts) == ("", True)
    with pytest.raises(ValueError, match="frozen"):
        mine.name = "b"  # type: ignore[misc]
    assert mine.model_copy() == mine


def test_a_made_row_is_what_validation_makes() -> None:
    values = {"intent_id": "a", "position": 3, "type": "X", "at": T0}
    values |= {"actor": "", "epoch": 0, "summary": ""}
    mine, theirs = made(TimelineRow, dict(values)), TimelineRow.model_validate(values)
    assert mine == theirs
    assert mine.model_dump_json() == theirs.model_dump_json()
    assert mine.model_fields_set == theirs.model_fields_set
    with pytest.raises(ValidationError):
        mine.actor = "b"  # type: ignore[misc]
