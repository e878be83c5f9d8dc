"""A read model in SQLite that follows an application's notifications, in every instance.

Delivery    a subscription from the checkpoint on; what waits is applied as one transaction, the
            rows together with the checkpoint, so that nothing is counted twice or lost.
Rebuild     the file's name holds the version of the tables; another version starts from position 0
            in a file of its own. A damaged file is dropped and built again.
Unknown     events that a newer version of the service added are left out and counted.
Threads     one reads the log, one writes; queries run on the caller's thread, each thread on a
            connection of its own and to the last row: a statement left open, even one of another
            thread, would keep showing the tables as they were when it began.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import singledispatchmethod
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import structlog
from eventsourcing.application import Application
from eventsourcing.persistence import Notification
from eventsourcing.utils import TopicError

from domain.errors import Invalid, TransientError
from infra.service_kit.tables import Table, exact_numbers, searched, stored

PAGE_DEFAULT, PAGE_MAX = 50, 500
_BATCH_MAX = 1000
_KEEP_OLD_S = 24 * 3600.0
_POLL_S = 0.02
_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)

_log = structlog.get_logger(__name__)


class ReadModel:
    """Subclass it with ``tables``, ``version`` and one ``fold`` for each event that matters."""

    tables: ClassVar[Sequence[Table]]
    version: ClassVar[str]

    def __init__(self, app: Application[UUID], directory: Path) -> None:
        """Open the tables under ``directory``, which belongs to one instance alone."""
        directory.mkdir(parents=True, exist_ok=True)
        self.problem = ""
        self.unknown = 0  # events of a newer version that were left out
        self._app = app
        self._path = directory / f"read-model-{self.version}.sqlite"
        self._writer = self._open()
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._position = int(self._writer.execute("SELECT position FROM checkpoint").fetchone()[0])
        self._complete_at = 0
        self._scrub = False  # rows were erased: the file's journal still holds them
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._waiting: queue.Queue[Notification | None] = queue.Queue(_BATCH_MAX * 2)
        self._subscription: Any = None
        self._threads = [
            threading.Thread(target=self._read_on, name="read-model-log", daemon=True),
            threading.Thread(target=self._write_on, name="read-model", daemon=True),
        ]

    # Following

    def start(self) -> None:
        """Follow the log from now on. Until what it holds now has been read, queries are refused:
        half a table would be a wrong answer."""
        self._complete_at = self._app.recorder.max_notification_id() or 0
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> bool:
        """Whether everything that the log held at the start is in the tables."""
        return self._position >= self._complete_at

    def stop(self) -> None:
        """Stop following; what has been read stays."""
        self._stopping.set()
        with self._moved:
            self._moved.notify_all()
        if self._subscription is not None:
            with suppress(Exception):
                self._subscription.stop()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)  # wakes the writer, which stops
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=2.0)
        for reader in self._opened:
            reader.close()
        self._writer.close()

    @property
    def position(self) -> int:
        """The notification up to which everything is in the tables."""
        return self._position

    @property
    def lag(self) -> int:
        """How many notifications this instance has read and not yet applied."""
        return self._waiting.qsize()

    def wait(self, position: int, *, timeout_s: float = 5.0) -> None:
        """Return once the tables hold everything up to ``position``.

        Raises:
            TransientError: not within the time.
        """
        with self._moved:
            reached = self._moved.wait_for(
                lambda: self._position >= position or self._stopping.is_set(), timeout_s
            )
        if not reached or self._position < position:
            raise TransientError(
                f"this instance has read up to position {self._position}, not {position}"
            )

    async def reach(self, position: int, *, timeout_s: float = 5.0) -> None:
        """``wait`` for callers on an event loop; raises what it raises."""
        if self._position < position:
            await asyncio.to_thread(self.wait, position, timeout_s=timeout_s)

    def catch_up(self, *, timeout_s: float = 60.0) -> int:
        """Return once everything that the log holds now is in the tables: up to which position.

        Raises:
            TransientError: not within the time.
        """
        position = self._app.recorder.max_notification_id() or 0
        self.wait(position, timeout_s=timeout_s)
        return position

    @singledispatchmethod
    def fold(self, event: Any, position: int) -> None:
        """Apply one event; without a method for its class nothing happens."""

    def _read_on(self) -> None:
        position, failures = self._position, 0
        while not self._stopping.is_set():
            try:
                for notification in self._notifications(position):
                    self._put(notification)
                    position, failures = notification.id, 0
            except Exception as error:
                self._complain("following the log", error)
            self._stopping.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    def _notifications(self, position: int) -> Iterator[Notification]:
        """What comes after a position, until told to stop."""
        try:
            subscription = self._app.recorder.subscribe(gt=position or None)
        except NotImplementedError:  # the library's SQLite recorder, for work on one machine
            yield from self._polled(position)
            return
        with subscription:
            self._subscription = subscription
            if not self._stopping.is_set():
                yield from subscription

    def _polled(self, position: int) -> Iterator[Notification]:
        while not self._stopping.is_set():
            found = self._app.recorder.select_notifications(
                position or None, _BATCH_MAX, inclusive_of_start=False
            )
            yield from found
            position = found[-1].id if found else position
            if not found:
                self._stopping.wait(_POLL_S)

    def _put(self, notification: Notification) -> None:
        while not self._stopping.is_set():
            with suppress(queue.Full):
                return self._waiting.put(notification, timeout=0.5)

    def _write_on(self) -> None:
        while not self._stopping.is_set():
            batch = [self._waiting.get()]
            while len(batch) < _BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            if None not in batch:
                self._insist([notification for notification in batch if notification])

    def _insist(self, batch: list[Notification]) -> None:
        """A batch that cannot be applied now is tried until it can: nothing is ever left out."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self._apply(batch)
            except Exception as error:
                self._complain("applying events", error)
                self._stopping.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1
            else:
                self.problem = ""
                return

    def _apply(self, batch: list[Notification]) -> None:
        with self._transaction():
            for notification in batch:
                if notification.id > self._position:
                    self._fold(notification)
            self._writer.execute("UPDATE checkpoint SET position = ?", (batch[-1].id,))
        if self._scrub:
            busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._scrub = bool(busy)  # a reader was in the way: once more with the next batch
        with self._moved:
            self._position = max(self._position, batch[-1].id)
            self._moved.notify_all()

    def _fold(self, notification: Notification) -> None:
        try:
            event = self._app.mapper.to_domain_event(notification)
        except TopicError:  # after a rollback: a newer version wrote what this one does not know
            self.unknown += 1
            _log.warning("unknown_event", topic=notification.topic, position=notification.id)
        else:
            self.fold(event, notification.id)

    def _complain(self, doing: str, error: Exception) -> None:
        if not self._stopping.is_set():
            self.problem = f"{doing}: {error}"
            _log.warning("read_model_failed", doing=doing, error=repr(error))

    # Writing, from ``fold``

    def insert(
        self, table: Table, event: Any, position: int, values: Mapping[str, Any], **more: Any
    ) -> None:
        """Add the row of a record that was created."""
        row = {
            "id": event.originator_id,
            "version": event.originator_version,
            "created_at": event.timestamp,
            "updated_at": event.timestamp,
            **{name: values[name] for name in values if name in table.fields},
            **more,
        }
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" for _ in row)
        self._writer.execute(
            f'INSERT INTO "{table.name}" (position, {names}) VALUES (?, {marks})',
            (position, *map(stored, row.values())),
        )

    def change(self, table: Table, event: Any, values: Mapping[str, Any], **more: Any) -> None:
        """Set what an event changed in a record's row."""
        row = {
            "version": event.originator_version,
            "updated_at": event.timestamp,
            **{name: values[name] for name in values if name in table.fields},
            **more,
        }
        changes = ", ".join(f'"{name}" = ?' for name in row)
        self._writer.execute(
            f'UPDATE "{table.name}" SET {changes} WHERE id = ?',
            (*map(stored, row.values()), str(event.originator_id)),
        )

    def delete(self, table: Table, event: Any) -> None:
        self._writer.execute(
            f'DELETE FROM "{table.name}" WHERE id = ?', (str(event.originator_id),)
        )

    def forget(self, event: Any) -> None:
        """Drop the key of the record that an event erased, and what the file still holds of it:
        here, too, so that an erasure which was cut short is finished by whoever reads it."""
        self._app.keys.erase(event.originator_id)  # type: ignore[attr-defined]
        self._scrub = True

    # Reading

    def one(self, table: Table, record_id: UUID) -> dict[str, Any] | None:
        """The row of a record, or None."""
        found = self._ask(
            f'SELECT {table.columns} FROM "{table.name}" WHERE id = ?', (str(record_id),)
        )
        return table.row(found[0]) if found else None

    def page(
        self, table: Table, where: Mapping[str, Any], *, limit: int, cursor: str
    ) -> dict[str, Any]:
        """Rows in the order of their creation: ``{items, cursor, total}``; the cursor is "" at
        the end. A value None in ``where`` does not filter.

        Raises:
            Invalid: the cursor is not one of this list, or a value cannot be searched for.
        """
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise Invalid("cursor", "is not a cursor of this list")
        wanted = {name: searched(name, v) for name, v in where.items() if v is not None}
        conditions = " AND ".join(f'"{name}" = ?' for name in wanted) or "1"
        total = self._ask(
            f'SELECT count(*) FROM "{table.name}" WHERE {conditions}', (*wanted.values(),)
        )[0][0]
        found = self._ask(
            f'SELECT position, {table.columns} FROM "{table.name}"'
            f" WHERE {conditions} AND position > ? ORDER BY position LIMIT ?",
            (*wanted.values(), int(cursor or 0), limit + 1),
        )
        more = len(found) > limit
        return {
            "items": [table.row(row) for row in found[:limit]],
            "cursor": str(found[limit - 1]["position"]) if more else "",
            "total": total,
        }

    def count(self, table: Table, where: Mapping[str, Any] | None = None) -> int:
        conditions = " AND ".join(f'"{name}" = ?' for name in where or ()) or "1"
        values = [stored(value) for value in (where or {}).values()]
        found = self._ask(f'SELECT count(*) FROM "{table.name}" WHERE {conditions}', values)
        return int(found[0][0])

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query that the service itself was written with."""
        return [dict(row) for row in self._ask(sql)]

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        if not self.ready:
            raise TransientError(
                f"this instance has read up to position {self._position} of {self._complete_at}"
            )
        reader: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if reader is None:
            reader = self._readers.connection = self._connect()
            self._opened.append(reader)
        return reader.execute(sql, values).fetchall()

    # The file

    @contextmanager
    def _transaction(self) -> Any:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        self._drop_old_files()
        try:
            return self._create()
        except sqlite3.DatabaseError:
            _log.warning("read_model_damaged", path=str(self._path), action="rebuild")
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return self._create()

    def _drop_old_files(self) -> None:
        """Another version's file goes after a day: until then a rollback goes on where it was, and
        an instance of that version may still have it open."""
        for path in self._path.parent.glob("read-model-*.sqlite*"):
            other = not path.name.startswith(self._path.name)
            if other and path.stat().st_mtime < time.time() - _KEEP_OLD_S:
                path.unlink(missing_ok=True)

    def _create(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a power loss may drop the newest rows with their checkpoint: they are read again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
        for table in self.tables:
            for statement in table.statements():
                db.execute(statement)
        db.execute("CREATE TABLE IF NOT EXISTS checkpoint (position INTEGER NOT NULL)")
        db.execute("INSERT INTO checkpoint SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM checkpoint)")
        return db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        exact_numbers(db)
        self.functions(db)
        return db

    def functions(self, db: sqlite3.Connection) -> None:
        """Override it to give queries functions of the service's own."""
