"""An instance's views: what the log says, folded as it comes, beside the position it is read to.

Delivery    batches from ``EventLog.follow``; an event at or before the checkpoint is skipped. Only
            events that a table names are decoded.
Stored      ``infra.view_file``: rows and checkpoint in one transaction.
Rebuild     the file's name holds a digest of its tables (names, versions, columns): a changed view
            starts a file of its own from position 0 beside the old one, which goes once the new
            one has caught up. A damaged file is dropped and built again.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from domain.errors import TransientError
from domain.event import Event
from domain.view import Table
from infra.ports import Batch, EventLog, Subscription
from infra.together import until_first
from infra.view_file import CHANGES_MAX, COMMIT_S, Rows, ViewFile

Row = TypeVar("Row", bound=BaseModel)
Watcher = Callable[[str, Any], None]

BATCH = 300  # the loop stands still for one: with the cores full, 1000 cost leaders their lease
_HORIZON_EVERY_S = 0.02  # how soon a waiting reader asks the log how far the silence reaches


class SqliteViews(ViewFile):
    """Implements ``infra.ports.Views``. Use it from one event loop; queries are plain calls."""

    def __init__(self, directory: Path, tables: Sequence[Table[Any]]) -> None:
        """Open (or create) the views under ``directory``; it belongs to one instance alone."""
        names = [table.name for table in tables]
        if len(set(names)) != len(names):
            raise ValueError(f"two tables have one name: {sorted(names)}")
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        super().__init__(directory / f"views-{_signature(tables)}.sqlite", tables)
        self._tables = tuple(tables)
        self._horizon = self._applied
        self._pending = 0
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._uncommitted = asyncio.Event()
        self._watchers: list[tuple[Rows[Any], Watcher]] = []

    @property
    def subjects(self) -> tuple[str, ...]:
        """The log's subjects that these views need, each once."""
        return tuple(sorted({s for table in self._tables for s in table.subjects}))

    @property
    def events(self) -> frozenset[type[Event]] | None:
        """The events that these views need; None: every one on their subjects."""
        if not all(table.events for table in self._tables):
            return None
        return frozenset(event for table in self._tables for event in table.events)

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
            sqlite3.Error: the file cannot be written.
        """
        if not self.subjects:
            await asyncio.Event().wait()
        subscription = log.follow(
            self.subjects, after=self._applied, batch=BATCH, events=self.events
        )
        self._subscription = subscription
        try:
            await until_first(self._read(subscription), self._keep_committed())
        finally:
            self._subscription = None
            await subscription.close()

    def apply(self, batch: Batch) -> None:
        """Fold one batch: all of it or, when an event cannot be folded, nothing."""
        self._usable()
        try:
            events = [event for event in batch.events if event.position > self._applied]
            for rows in self._rows.values():
                rows.fold(self._db, events)
        except BaseException:
            for rows in self._rows.values():
                rows.fresh.clear()
            raise
        told = [
            (watcher, key, row)
            for rows, watcher in self._watchers
            for key, row in rows.fresh.items()
        ]
        for rows in self._rows.values():
            rows.settle()
        self._applied = max(batch.position, self._applied)
        self._pending = batch.pending
        if self._changes >= CHANGES_MAX:
            self.commit()
        self._uncommitted.set()
        for watcher, key, row in told:
            watcher(key, row)
        if batch.events:  # what lies between our subjects is no reason to look for work
            self.wake()

    @contextmanager
    def watching(
        self, table: Table[Row], watcher: Callable[[str, Row | None], None]
    ) -> Iterator[None]:
        """Within the block, tell ``watcher`` of every changed row (None: it is gone).

        It is called once the change counts, in no particular order within a batch.
        """
        entry = (self._rows[table.name], watcher)
        self._watchers.append(entry)
        try:
            yield
        finally:
            self._watchers.remove(entry)

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

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _read(self, subscription: Subscription) -> None:
        caught_up = False
        async for batch in subscription:
            self.apply(batch)
            if batch.pending == 0 and not caught_up:
                caught_up = True
                self._drop_older_files()

    async def _keep_committed(self) -> None:
        while True:
            await self._uncommitted.wait()
            await asyncio.sleep(COMMIT_S)
            self._uncommitted.clear()
            self.commit()

    async def _look_ahead(self) -> None:
        """Events of other subjects also count: ask how far the log is empty for these views."""
        if self._subscription is None:
            return
        with suppress(TransientError):
            horizon = await self._subscription.horizon()
            if horizon > self._horizon:
                self._horizon = horizon
                self.wake()

    def _drop_older_files(self) -> None:
        self.commit()
        for path in self._directory.glob("views-*.sqlite*"):
            if not path.name.startswith(self._path.name):
                path.unlink(missing_ok=True)


def _signature(tables: Iterable[Table[Any]]) -> str:
    shape = sorted(
        (
            table.name,
            table.version,
            sorted(table.subjects),
            sorted(event.__name__ for event in table.events),
            list(table.columns),
        )
        for table in tables
    )
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]
