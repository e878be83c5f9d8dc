"""Rows of tables in one SQLite file, their newest changes ahead of it in memory.

Written     changed rows reach the file before a query looks at it, and with every commit; until
            then they change in memory only: a row that changes often is stored once.
Laid out    in the order of the log: a row's place is the position of the event that made it. Keys
            are random, so rows stored by key would touch a page each; so would indexes that end
            with the key instead of the place (half the time of a write, measured, both times).
Indexes     of columns, and of keys that are an event's own, are missing from a new file until
            ``index``: while a long log is folded nobody asks by them, and an entry at a random
            page for each row takes longer than sorting them all at the end.
Commit      rows and checkpoint in one transaction, at most ``COMMIT_S`` late or ``CHANGES_MAX``
            rows; what a crash loses is folded again from the checkpoint. The disk is waited for in
            a thread: a leader's event loop must not stand still for it.
Failure     an error of the file ends its use: everything after it raises the same error.
"""

import asyncio
import base64
import binascii
import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import structlog
from pydantic import BaseModel

from domain.errors import Invalid
from domain.event import Event
from domain.recorded import Recorded
from domain.view import Table
from infra.bloom import BloomFilter
from infra.model_json import model_json
from infra.ports import Page
from infra.view_journal import PLACE_END, PLACES, Changes, Gap, Journal, news, take_rows

Row = TypeVar("Row", bound=BaseModel)
Scalar = str | int | float | bool | None

LIMIT_MAX = 500
COMMIT_S = 0.2
CHANGES_MAX = 2000  # of all tables together
HOT_BYTES_MAX = 2 * 1024 * 1024  # of a table's rows as JSON; in memory they take three times that
# Of open rows, in tables that tell them from others. A queue's rows come up again in the order they
# were stored in: of a backlog that is longer than this nothing is still at hand.
OPEN_BYTES_MAX = 16 * 1024 * 1024
_ABSENT_MAX = 10_000
_STEPS = 20_000  # of SQLite's machine, some milliseconds, until it is looked whether to go on

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_log = structlog.get_logger(__name__)


class Rows(Generic[Row]):
    """The rows of one table: what has changed, what is at hand, and how they are written."""

    def __init__(self, table: Table[Row]) -> None:
        self.table = table
        self.fresh: dict[str, Row | None] = {}  # changed by the batch that is being folded
        self.changed: dict[str, Row | None] = {}  # not in the file yet
        self._wanted, self._anew = frozenset(table.events), frozenset(table.anew)
        self._new: set[str] = set()  # of those, the keys that the file does not have
        self._places: dict[str, int] = {}  # of those, the ones that were made, not only changed
        self._touched: set[str] = set()  # and changed after that
        self._fresh_places: dict[str, int] = {}
        self._fresh_touched: set[str] = set()
        self._hot: OrderedDict[str, tuple[Row, int]] = OrderedDict()  # as in the file; JSON length
        self._hot_bytes = 0
        self._hot_bytes_max = OPEN_BYTES_MAX if table.open else HOT_BYTES_MAX
        self._absent: set[str] = set()  # keys that the file was asked for and does not have
        self._came: BloomFilter | None = None  # the keys that the file may have, if that is known
        name = quoted(table.name)
        marks = ", ".join("?" for _ in range(3 + len(table.columns)))
        self._select = f"SELECT body FROM {name} WHERE key = ?"
        self._insert = f"INSERT INTO {name} VALUES ({marks})"
        self._replace = f"INSERT OR REPLACE INTO {name} VALUES ({marks})"
        self._delete = f"DELETE FROM {name} WHERE key = ?"
        self._updates: dict[tuple[str, ...], str] = {}

    def get(self, db: sqlite3.Connection, key: str) -> Row | None:
        """The row as it is now; None if there is none."""
        if key in self.changed:
            return self.changed[key]
        hot = self._hot.get(key)
        if hot is not None:
            return hot[0]
        if key in self._absent or (self._came is not None and key not in self._came):
            return None
        found = db.execute(self._select, (key,)).fetchone()
        if found is None:
            if len(self._absent) == _ABSENT_MAX:
                self._absent.clear()
            self._absent.add(key)
            return None
        row = self.table.row.model_validate_json(found[0])
        self._keep(key, row, len(found[0]))
        return row

    def read(self, key: str, body: str) -> Row:
        """The row under a key of the file, whose body the file just gave."""
        hot = self._hot.get(key)
        return self.table.row.model_validate_json(body) if hot is None else hot[0]

    def fold(self, db: sqlite3.Connection, events: Sequence[Recorded[Event]]) -> None:
        """Fold a batch, or a part of it, into ``fresh``."""
        table, fresh = self.table, self.fresh
        keys, fold, once = table.keys, table.fold, table.once
        wanted, anew = self._wanted, self._anew
        places, touched, came = self._fresh_places, self._fresh_touched, self._came
        for recorded in events:
            kind = type(recorded.event)
            if wanted and kind not in wanted:
                continue
            alone = once or kind in anew
            for place, key in enumerate(keys(recorded), recorded.position * PLACES):
                before = None if alone else fresh[key] if key in fresh else self._before(db, key)
                after = fold(before, recorded, key)
                if after is before and not alone:
                    continue
                fresh[key] = after
                if before is None:
                    places[key] = place
                    if came is not None:
                        came.add(key)
                else:
                    touched.add(key)

    def settle(self) -> None:
        """The batch is folded: its changes count."""
        self.changed.update(self.fresh)
        self._touched |= self._fresh_touched
        self._places.update(self._fresh_places)
        self.drop_fresh()

    def drop_fresh(self) -> None:
        """The batch does not count."""
        self.fresh.clear()
        self._fresh_places.clear()
        self._fresh_touched.clear()

    def write(self, db: sqlite3.Connection) -> Changes:
        """Bring the changes into the file, within the transaction that is under way.

        Returns which rows that a neighbour may have are different now, or gone.
        """
        changes = Changes()
        inserts: list[list[Any]] = []
        deletes: list[tuple[str]] = []
        updates: dict[tuple[str, ...], list[list[Any]]] = {}
        once, columns = self.table.once, self.table.columns
        for key, row in self.changed.items():
            hot = None if once else self._drop(key)
            if row is None:
                changes.removed.append(key)  # even if it came and went: one may stand in between
                if key not in self._new:
                    deletes.append((key,))
                continue
            body = model_json(row).decode()
            place = self._places.get(key)
            if place is not None:
                self._absent.discard(key)
                inserts.append([place, key, body, *[getattr(row, column) for column in columns]])
                differs = columns if key in self._touched else None
            else:
                differs = columns if hot is None else _differing(columns, hot, row)
                values = [body, *[getattr(row, column) for column in differs], key]
                updates.setdefault(differs, []).append(values)
            if differs is not None:
                changes.updated.setdefault(differs, []).append(key)
            if not once:
                self._keep(key, row, len(body))
        db.executemany(self._delete, deletes)
        for differs, rows in updates.items():
            db.executemany(self._update(differs), rows)
        try:
            db.executemany(self._insert, inserts)
        except sqlite3.IntegrityError:  # something stands under one of the keys
            # Not from the first: with a place and a key to replace by, SQLite keeps each page as it
            # was before each row, which takes three times as long.
            db.executemany(self._replace, inserts)
        self.changed.clear()
        self._new.clear()
        self._places.clear()
        self._touched.clear()
        return changes

    def begin(self) -> None:
        """The file is empty. As long as all its rows come from here, it is not asked for a key that
        has never come: the answer would have to wait for a commit that is under way.
        """
        if not self.table.once:  # those are not looked up anyway
            self._came = BloomFilter()

    def forget(self) -> None:
        """Keep no row at hand: the file has changed by itself."""
        self._hot.clear()
        self._hot_bytes = 0
        self._absent.clear()
        self._came = None

    def _before(self, db: sqlite3.Connection, key: str) -> Row | None:
        """The row that a batch's first event of this key is folded into."""
        if key in self._new:
            return self.changed.get(key)
        row = self.get(db, key)
        if row is None and key not in self.changed:
            self._new.add(key)
        return row

    def _update(self, differs: tuple[str, ...]) -> str:
        # Only what differs: every column named here costs the update of an index.
        sql = self._updates.get(differs)
        if sql is None:
            names = "".join(f", {quoted(column)} = ?" for column in differs)
            sql = f"UPDATE {quoted(self.table.name)} SET body = ?{names} WHERE key = ?"
            self._updates[differs] = sql
        return sql

    def _keep(self, key: str, row: Row, size: int) -> None:
        if self.table.open and not self.table.open(row):
            return
        self._hot[key] = (row, size)
        self._hot_bytes += size
        while self._hot_bytes > self._hot_bytes_max:
            self._hot_bytes -= self._hot.popitem(last=False)[1][1]

    def _drop(self, key: str) -> Row | None:
        hot = self._hot.pop(key, None)
        if hot is None:
            return None
        self._hot_bytes -= hot[1]
        return hot[0]


class ViewFile:
    """Tables in a file of their own, with the position up to which they hold everything."""

    def __init__(self, path: Path, tables: Sequence[Table[Any]]) -> None:
        self._path = path
        self._rows = {table.name: Rows(table) for table in tables}
        self._db, self._journal = self._open()
        self._applied: int = self._db.execute("SELECT position FROM checkpoint").fetchone()[0]
        if not self._applied:
            for rows in self._rows.values():
                rows.begin()
        self._committed = self._applied
        self._pending = 0  # events to come, as of the newest batch
        self._source: Path | None = None  # the neighbour's file that is attached
        self._copied = ""  # the journal at one of whose commits this file stands; "": at none
        self._error: Exception | None = None
        self._disk = ThreadPoolExecutor(1, "views")
        self._aside: tuple[Future[sqlite3.Cursor], int] | None = None  # a commit, its position
        self._unindexed = self._missing_indexes()

    def get(self, table: Table[Row], key: str) -> Row | None:
        self._usable()
        return self._rows[table.name].get(self._db, key)

    def all(self, table: Table[Row], **where: object) -> list[Row]:
        condition, values = _where(table, where)
        rows = self._written(table)
        found = self._db.execute(
            f"SELECT key, body FROM {quoted(table.name)} {condition} ORDER BY key", values
        )
        return [rows.read(key, body) for key, body in found]

    def bodies(
        self, table: Table[Any], *, order: str, above: object, limit: int
    ) -> list[tuple[Any, bytes]]:
        column = _column(table, order, "order")
        self._written(table)
        return self._db.execute(
            f"SELECT {column}, CAST(body AS BLOB) FROM {quoted(table.name)}"
            f" WHERE {column} > ? ORDER BY {column} LIMIT ?",
            (above, limit),
        ).fetchall()

    def fields(
        self,
        table: Table[Any],
        *paths: str,
        where: Mapping[str, object] | None = None,
        above: int = 0,
        limit: int,
    ) -> list[tuple[Any, ...]]:
        condition, values = _where(table, where or {})
        condition = _and(condition)
        self._written(table)
        picked = ", json_extract(body, ?)" * len(paths)
        return self._db.execute(
            f"SELECT place, key{picked} FROM {quoted(table.name)}"
            f" {condition} place > ? ORDER BY place LIMIT ?",
            [*(f"$.{path}" for path in paths), *values, above, limit],
        ).fetchall()

    def count(
        self, table: Table[Any], *, below: tuple[str, object] | None = None, **where: object
    ) -> int:
        self._written(table)
        condition, values = _where(table, where)
        if below is not None:
            condition = _and(condition)
            condition += f" {_column(table, below[0], 'below')} < ?"
            values.append(below[1])
        found = self._db.execute(f"SELECT count(*) FROM {quoted(table.name)} {condition}", values)
        return int(found.fetchone()[0])

    def page(
        self,
        table: Table[Row],
        *,
        where: Mapping[str, object] | None = None,
        text: str = "",
        order: str = "",
        descending: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page:
        if not 1 <= limit <= LIMIT_MAX:
            raise Invalid("limit", f"must be between 1 and {LIMIT_MAX}")
        column = _column(table, order, "order") if order else "place"
        condition, values = _where(table, where or {})
        if text:
            condition = _and(condition)
            condition += " body LIKE ? ESCAPE '\\'"
            values.append(f"%{_like(text)}%")
        rows = self._written(table)
        name = quoted(table.name)
        total = int(
            self._db.execute(f"SELECT count(*) FROM {name} {condition}", values).fetchone()[0]
        )
        if cursor:
            condition = _and(condition)
            condition += f" ({column}, place) {'<' if descending else '>'} (?, ?)"
            values.extend(_decode_cursor(cursor))
        direction = "DESC" if descending else "ASC"
        found = self._db.execute(
            f"SELECT {column}, place, key, body FROM {name} {condition}"
            f" ORDER BY {column} {direction}, place {direction} LIMIT ?",
            [*values, limit + 1],
        ).fetchall()
        listed = [rows.read(key, body) for _, _, key, body in found[:limit]]
        more = len(found) > limit
        after = _encode_cursor(found[limit - 1][0], found[limit - 1][1]) if more else ""
        return Page(listed, after, total)

    def dump(self) -> dict[str, dict[str, str]]:
        """Every row of every table as JSON, by key: for comparing two sets of views."""
        found = {}
        for name in sorted(self._rows):
            self._written(self._rows[name].table)
            found[name] = dict(
                self._db.execute(f"SELECT key, body FROM {quoted(name)} ORDER BY key")
            )
        return found

    def commit(self) -> None:
        """Make the rows and their checkpoint last.

        Raises:
            sqlite3.Error: the file cannot be written; it is of no more use.
        """
        self.commit_aside()
        self._join()

    def commit_aside(self) -> None:
        """As ``commit``, with the disk waited for in a thread: whatever writes next waits there.

        Raises:
            sqlite3.Error: as ``commit``; this one or the one before.
        """
        self._usable()
        self._join()
        if self._committed == self._applied:
            return
        with self._writing():
            for rows in self._rows.values():
                self._write(rows)
            if self._journal.kept:
                self._journal.settle(self._db, self._pending)
            self._db.execute("UPDATE checkpoint SET position = ?", (self._applied,))
        self._aside = self._disk.submit(self._db.execute, "COMMIT"), self._applied

    async def committed(self) -> None:
        """Wait for a commit that is under way.

        Raises:
            sqlite3.Error: as ``commit``.
        """
        if self._aside is not None:
            await asyncio.wait((asyncio.wrap_future(self._aside[0]),))
            self._join()

    async def index(self) -> None:
        """Make the indexes that are missing. Queries go on meanwhile; writing has to wait for it.

        Raises:
            sqlite3.Error: the file cannot be written; it is of no more use.
        """
        self.commit_aside()
        await self.committed()
        left = threading.Event()
        try:
            await asyncio.wrap_future(self._disk.submit(self._make_indexes, left))
        except sqlite3.Error as error:
            self._error = error
            raise
        finally:
            left.set()  # of use where we are cancelled
        self._unindexed = []

    def _make_indexes(self, left: threading.Event) -> None:
        """In the thread, on a connection that is the thread's alone: queries on the other one would
        wait, and nobody may close it meanwhile. ``left``: nobody waits for it any more."""
        with closing(self._connect()) as db:
            db.set_progress_handler(left.is_set, _STEPS)
            for statement in self._unindexed:
                db.execute(statement)

    def keep_journal(self, keep: bool) -> None:
        """Note from now on which rows change, so that neighbours can take them; or no longer.

        Raises:
            sqlite3.Error: the file cannot be written; it is of no more use.
        """
        if keep == self._journal.kept:
            return
        self.commit()
        with self._writing():
            self._journal.begin(self._db, self._applied) if keep else self._journal.end(self._db)
            self._db.execute("COMMIT")

    def take(self, source: Path) -> bool:
        """Take over the rows that a neighbour's file of the same tables has changed since this one.

        Returns whether it stands further than this one did.

        Raises:
            Gap: it cannot say what has changed since, or cannot be read; nothing is changed here.
            sqlite3.Error: this file cannot be written; it is of no more use.
        """
        self.commit()
        try:
            self._attach(source)
            self._db.execute("BEGIN IMMEDIATE")
            found = news(self._db, self._applied)
            if found is not None:
                between = self._copied != found.journal
                for name in self._rows:
                    take_rows(self._db, quoted(name), self._applied, between=between)
                self._db.execute("UPDATE checkpoint SET position = ?", (found.position,))
                if self._journal.kept:  # it does not hold these
                    self._journal.begin(self._db, found.position)
            self._db.execute("COMMIT")
        except (sqlite3.Error, Gap) as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self.leave_source()
            raise Gap(str(error)) from error
        if found is None:
            return False
        self._applied, self._pending, self._copied = found
        self._committed = self._applied
        for rows in self._rows.values():
            rows.forget()
        return True

    def leave_source(self) -> None:
        """Take from nobody any more."""
        if self._source is not None:
            self._source = None
            self._db.execute("DETACH source")

    def _attach(self, source: Path) -> None:
        if source != self._source:
            self.leave_source()
            self._db.execute("ATTACH ? AS source", (f"file:{quote(str(source))}?mode=ro",))
            self._source = source

    def close(self) -> None:
        """Commit, unless the file has failed, and close it."""
        try:
            if self._error is None:
                self.commit()
        finally:
            self._disk.shutdown()
            self._db.close()

    @property
    def _changes(self) -> int:
        return sum(len(rows.changed) for rows in self._rows.values())

    def _written(self, table: Table[Row]) -> Rows[Row]:
        """The rows of a table, all of them in the file for a query."""
        self._usable()
        rows = self._rows[table.name]
        if rows.changed:
            with self._writing():
                self._write(rows)
        return rows

    def _write(self, rows: Rows[Any]) -> None:
        changes = rows.write(self._db)
        if self._journal.kept:
            self._journal.note(self._db, self._applied, rows.table.name, changes)

    def _join(self) -> None:
        """Wait for the commit that is under way: until then no transaction can begin."""
        aside, self._aside = self._aside, None
        if aside is not None:
            with self._failing():
                aside[0].result()
            self._committed = aside[1]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Within a transaction; an error ends the use of the file."""
        self._join()
        with self._failing():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._error = error  # rows in memory may be ahead of what the file will ever hold
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _usable(self) -> None:
        if self._error is not None:
            raise self._error

    def _open(self) -> tuple[sqlite3.Connection, Journal]:
        try:
            return self._create()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise  # no room, no permission: another file would not do better
            _log.warning("views_damaged", path=str(self._path), action="rebuild from position 0")
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return self._create()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, uri=True)

    def _create(self) -> tuple[sqlite3.Connection, Journal]:
        db = self._connect()
        # Rows of a kilobyte or two: half as many pages to write at a commit as with the usual 4096.
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a power loss may drop the newest rows and their checkpoint: folded again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 2000")  # pages: each checkpoint waits for the disk
        db.execute("CREATE TABLE IF NOT EXISTS checkpoint (position INTEGER NOT NULL)")
        db.execute("INSERT INTO checkpoint SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM checkpoint)")
        for rows in self._rows.values():
            table = rows.table
            name = quoted(table.name)
            columns = "".join(f", {quoted(column)}" for column in table.columns)
            key = "key TEXT NOT NULL" if table.own_keys else "key TEXT NOT NULL UNIQUE"
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {name}"
                f" (place INTEGER PRIMARY KEY, {key}, body TEXT NOT NULL{columns})"
            )
        return db, Journal(db)

    def _missing_indexes(self) -> list[str]:
        """What makes the indexes that the file does not have yet, one statement each."""
        found = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
        there = {name for (name,) in found}
        missing = []
        for rows in self._rows.values():
            table = rows.table
            indexed = [column for column in table.columns if column != table.prefix]
            for column in [*indexed, "key"] if table.own_keys else indexed:
                name = f"{table.name}_{column}"
                if name not in there:
                    on = f"{quoted(table.name)} ({quoted(column)})"
                    missing.append(f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {on}")
        return missing


def quoted(name: str) -> str:
    """The name for use in SQL.

    Raises:
        ValueError: not made of letters, digits and underscores.
    """
    if not name.replace("_", "a").isalnum():
        raise ValueError(f"not an SQL name: {name!r}")
    return f'"{name}"'


def _column(table: Table[Any], name: str, field: str) -> str:
    if name not in table.columns:
        raise Invalid(field, f"{name!r} is not one of {', '.join(table.columns)}")
    return quoted(name)


def _where(table: Table[Any], where: Mapping[str, object]) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for name, wanted in where.items():
        column = _column(table, name, "where")
        if isinstance(wanted, tuple | list | frozenset | set):
            conditions.append(f"{column} IN ({', '.join('?' for _ in wanted)})")
            values.extend(wanted)
        else:
            conditions.append(f"{column} IS ?")
            values.append(wanted)
            if name == table.prefix:  # the range holds more where a value has slashes of its own
                conditions.append("key > ? AND key < ?")
                values += [f"{wanted}/", f"{wanted}0"]  # 0 comes after the slash
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _and(condition: str) -> str:
    """What ``_where`` returned, to be followed by one more condition."""
    return f"{condition} AND" if condition else "WHERE"


def _like(text: str) -> str:
    for char in ("\\", "%", "_"):
        text = text.replace(char, f"\\{char}")
    return text


def _differing(columns: Sequence[str], old: BaseModel, new: BaseModel) -> tuple[str, ...]:
    return tuple([c for c in columns if getattr(new, c) != getattr(old, c)])


def _encode_cursor(value: Scalar, place: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, place]).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[Scalar, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, place = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise Invalid("cursor", "is not a cursor of this list") from None
    if not isinstance(place, int) or isinstance(value, list | dict):
        raise Invalid("cursor", "is not a cursor of this list")
    if any(isinstance(n, int) and abs(n) >= PLACE_END for n in (value, place)):
        raise Invalid("cursor", "is not a cursor of this list")
    return value, place
