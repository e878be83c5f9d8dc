"""An instance's views in one SQLite file: rows and checkpoint change in one transaction.

Delivery    batches from ``EventLog.follow``; an event at or before the checkpoint is skipped.
Rebuild     the file's name holds a digest of its tables (names, versions, columns): a changed view
            starts a file of its own from position 0 beside the old one, which goes once the new
            one has caught up. A damaged file is dropped and built again.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel

from domain.errors import Invalid, TransientError
from domain.event import Event
from domain.recorded import Recorded
from domain.view import Table
from infra.ports import Batch, EventLog, Page, Subscription

Row = TypeVar("Row", bound=BaseModel)
Scalar = str | int | float | bool | None

LIMIT_MAX = 500
HOT_ROWS_MAX = 4000  # of all tables together: a row is usually folded again soon, or never
BATCH = 1000  # a row that changes often is stored once a batch; the loop stands still for one
_HORIZON_EVERY_S = 0.02  # how soon a waiting reader asks the log how far the silence reaches

_log = structlog.get_logger(__name__)

_Key = tuple[str, str]  # name of the table, key of the row
Watcher = Callable[[str, Any], None]


class SqliteViews:
    """Implements ``infra.ports.Views``. Use it from one event loop; queries are plain calls."""

    def __init__(self, directory: Path, tables: Sequence[Table[Any]]) -> None:
        """Open (or create) the views under ``directory``; it belongs to one instance alone."""
        names = [table.name for table in tables]
        if len(set(names)) != len(names):
            raise ValueError(f"two tables have one name: {sorted(names)}")
        self._tables = {table.name: table for table in tables}
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._path = directory / f"views-{_signature(tables)}.sqlite"
        self._db = self._open()
        row = self._db.execute("SELECT position FROM checkpoint").fetchone()
        self._applied: int = row[0]
        self._horizon: int = row[0]
        self._pending = 0
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._hot: OrderedDict[_Key, BaseModel] = OrderedDict()  # as they stand in the file
        self._watchers: list[tuple[str, Watcher]] = []

    @property
    def subjects(self) -> tuple[str, ...]:
        """The log's subjects that these views need, each once."""
        return tuple(sorted({s for table in self._tables.values() for s in table.subjects}))

    @property
    def position(self) -> int:
        return max(self._applied, self._horizon)

    @property
    def lag(self) -> int:
        return self._pending

    async def follow(self, log: EventLog) -> None:
        """Apply what the log holds and what comes, until cancelled.

        Raises:
            PoisonError: an event cannot be read, or is newer than this version; nothing is skipped.
        """
        if not self.subjects:
            await asyncio.Event().wait()
        subscription = log.follow(self.subjects, after=self._applied, batch=BATCH)
        self._subscription = subscription
        try:
            async for batch in subscription:
                self.apply(batch)
                if batch.pending == 0:
                    self._drop_older_files()
        finally:
            self._subscription = None
            await subscription.close()

    def apply(self, batch: Batch) -> None:
        """Fold one batch and move the checkpoint, in one transaction."""
        before: dict[_Key, BaseModel | None] = {}
        rows: dict[_Key, BaseModel | None] = {}
        for recorded in batch.events:
            if recorded.position > self._applied:
                self._fold(recorded, before, rows)
        position = max(batch.position, self._applied)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._store(before, rows)
            self._db.execute("UPDATE checkpoint SET position = ?", (position,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._applied = position
        self._pending = batch.pending
        self._keep_hot(rows)
        for name, watcher in self._watchers:
            for (table, key), row in rows.items():
                if table == name:
                    watcher(key, row)
        self.wake()

    @contextmanager
    def watching(
        self, table: Table[Row], watcher: Callable[[str, Row | None], None]
    ) -> Iterator[None]:
        """Within the block, tell ``watcher`` of every changed row (None: it is gone).

        It is called after the change is stored, in no particular order within a batch.
        """
        entry = (table.name, watcher)
        self._watchers.append(entry)
        try:
            yield
        finally:
            self._watchers.remove(entry)

    def get(self, table: Table[Row], key: str) -> Row | None:
        hot = self._hot.get((table.name, key))
        if hot is not None:
            return hot  # type: ignore[return-value]  # the table's name gives its type
        found = self._db.execute(
            f"SELECT body FROM {_quoted(table.name)} WHERE key = ?", (key,)
        ).fetchone()
        return None if found is None else table.row.model_validate_json(found[0])

    def after(self, table: Table[Row], key: str, *, limit: int) -> list[Row]:
        found = self._db.execute(
            f"SELECT body FROM {_quoted(table.name)} WHERE key > ? ORDER BY key LIMIT ?",
            (key, limit),
        )
        return [table.row.model_validate_json(body) for (body,) in found]

    def all(self, table: Table[Row], **where: object) -> list[Row]:
        condition, values = _where(table, where)
        found = self._db.execute(
            f"SELECT body FROM {_quoted(table.name)} {condition} ORDER BY key", values
        )
        return [table.row.model_validate_json(body) for (body,) in found]

    def count(
        self, table: Table[Any], *, below: tuple[str, object] | None = None, **where: object
    ) -> int:
        condition, values = _where(table, where)
        if below is not None:
            condition = f"{condition} AND" if condition else "WHERE"
            condition += f" {_column(table, below[0], 'below')} < ?"
            values.append(below[1])
        found = self._db.execute(f"SELECT count(*) FROM {_quoted(table.name)} {condition}", values)
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
        column = _column(table, order, "order") if order else "key"
        condition, values = _where(table, where or {})
        if text:
            condition = f"{condition} AND" if condition else "WHERE"
            condition += " body LIKE ? ESCAPE '\\'"
            values.append(f"%{_like(text)}%")
        name = _quoted(table.name)
        total = int(
            self._db.execute(f"SELECT count(*) FROM {name} {condition}", values).fetchone()[0]
        )
        if cursor:
            condition = f"{condition} AND" if condition else "WHERE"
            condition += f" ({column}, key) {'<' if descending else '>'} (?, ?)"
            values.extend(_decode_cursor(cursor))
        direction = "DESC" if descending else "ASC"
        found = self._db.execute(
            f"SELECT {column}, key, body FROM {name} {condition}"
            f" ORDER BY {column} {direction}, key {direction} LIMIT ?",
            [*values, limit + 1],
        ).fetchall()
        rows = [table.row.model_validate_json(body) for _, _, body in found[:limit]]
        more = len(found) > limit
        after = _encode_cursor(found[limit - 1][0], found[limit - 1][1]) if more else ""
        return Page(rows, after, total)

    async def reach(self, position: int, *, timeout_s: float = 5.0) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        wait_s = _HORIZON_EVERY_S / 16  # a new leader waits here: the first looks come soon
        while self.position < position:
            if asyncio.get_running_loop().time() >= deadline:
                raise TransientError(
                    f"the views have reached position {self.position}, not {position},"
                    f" within {timeout_s:g} s"
                )
            if not await self.changed(timeout_s=wait_s):
                await self._look_ahead()
                wait_s = min(wait_s * 2, _HORIZON_EVERY_S)

    async def changed(self, *, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def dump(self) -> dict[str, dict[str, str]]:
        """Every row of every table as JSON, by key: for comparing two sets of views."""
        return {
            name: dict(self._db.execute(f"SELECT key, body FROM {_quoted(name)} ORDER BY key"))
            for name in sorted(self._tables)
        }

    def close(self) -> None:
        self._db.close()

    async def _look_ahead(self) -> None:
        """Events of other subjects also count: ask how far the log is empty for these views."""
        if self._subscription is None:
            return
        with suppress(TransientError):
            horizon = await self._subscription.horizon()
            if horizon > self._horizon:
                self._horizon = horizon
                self.wake()

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _fold(
        self,
        recorded: Recorded[Event],
        before: dict[_Key, BaseModel | None],
        rows: dict[_Key, BaseModel | None],
    ) -> None:
        for name, table in self._tables.items():
            for key in table.keys(recorded):
                at = (name, key)
                if at not in rows:
                    before[at] = rows[at] = None if table.once else self.get(table, key)
                rows[at] = table.fold(rows[at], recorded, key)

    def _store(
        self,
        before: Mapping[_Key, BaseModel | None],
        rows: Mapping[_Key, BaseModel | None],
    ) -> None:
        new: dict[str, list[list[Any]]] = {}
        for at, row in rows.items():
            name, key = at
            was = before[at]
            if row is was:
                continue
            if row is None:
                self._db.execute(f"DELETE FROM {_quoted(name)} WHERE key = ?", (key,))
            elif was is None:
                columns = self._tables[name].columns
                values = [key, row.model_dump_json(), *[getattr(row, c) for c in columns]]
                new.setdefault(name, []).append(values)
            else:
                self._update(self._tables[name], key, was, row)
        for name, many in new.items():
            marks = ", ".join("?" for _ in many[0])
            self._db.executemany(f"INSERT OR REPLACE INTO {_quoted(name)} VALUES ({marks})", many)

    def _update(self, table: Table[Any], key: str, before: BaseModel, row: BaseModel) -> None:
        # Only what changed: every column named here costs the update of an index.
        changed = [c for c in table.columns if getattr(row, c) != getattr(before, c)]
        columns = [getattr(row, column) for column in changed]
        names = "".join(f", {_quoted(column)} = ?" for column in changed)
        self._db.execute(
            f"UPDATE {_quoted(table.name)} SET body = ?{names} WHERE key = ?",
            [row.model_dump_json(), *columns, key],
        )

    def _keep_hot(self, rows: Mapping[_Key, BaseModel | None]) -> None:
        hot = self._hot
        for at, row in rows.items():
            if row is None:
                hot.pop(at, None)
            elif not self._tables[at[0]].once:
                hot[at] = row
                hot.move_to_end(at)
        while len(hot) > HOT_ROWS_MAX:
            hot.popitem(last=False)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._create()
        except sqlite3.DatabaseError:
            _log.warning("views_damaged", path=str(self._path), action="rebuild from position 0")
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return self._create()

    def _create(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a power loss may drop the newest rows and their checkpoint: folded again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS checkpoint (position INTEGER NOT NULL)")
        db.execute("INSERT INTO checkpoint SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM checkpoint)")
        for table in self._tables.values():
            name = _quoted(table.name)
            columns = "".join(f", {_quoted(column)}" for column in table.columns)
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {name}"
                f" (key TEXT PRIMARY KEY, body TEXT NOT NULL{columns}) WITHOUT ROWID"
            )
            for column in table.columns:
                index = _quoted(f"{table.name}_{column}")
                db.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {name} ({_quoted(column)}, key)")
        return db

    def _drop_older_files(self) -> None:
        for path in self._directory.glob("views-*.sqlite*"):
            if not path.name.startswith(self._path.name):
                path.unlink(missing_ok=True)


def _signature(tables: Iterable[Table[Any]]) -> str:
    shape = sorted(
        (table.name, table.version, sorted(table.subjects), list(table.columns)) for table in tables
    )
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]


def _quoted(name: str) -> str:
    if not name.replace("_", "a").isalnum():
        raise ValueError(f"not an SQL name: {name!r}")
    return f'"{name}"'


def _column(table: Table[Any], name: str, field: str) -> str:
    if name not in table.columns:
        raise Invalid(field, f"{name!r} is not one of {', '.join(table.columns)}")
    return _quoted(name)


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
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _like(text: str) -> str:
    for char in ("\\", "%", "_"):
        text = text.replace(char, f"\\{char}")
    return text


def _encode_cursor(value: Scalar, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, key]).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[Scalar, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, key = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise Invalid("cursor", "is not a cursor of this list") from None
    if not isinstance(key, str) or isinstance(value, list | dict):
        raise Invalid("cursor", "is not a cursor of this list")
    return value, key
