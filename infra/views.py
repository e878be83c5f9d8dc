"""An instance's views: what the log says, folded as it comes, beside the position it is read to.

Delivery    batches from ``EventLog.follow``; an event at or before the checkpoint is skipped. Only
            events that a table names are decoded.
Stored      ``infra.view_file``: rows and checkpoint in one transaction.
Beside      on one host the leader folds, and its neighbours take over the rows it has changed
            (``infra.view_journal``): at a fifteenth of what folding costs them. Whoever gets no
            rows, needs newer ones than there are, or is about to lead, folds. Under load they are
            taken once a second, which costs half of what taking them with every commit does; at
            once where somebody waits for them.
Rebuild     the file's name holds a digest of its tables (names, versions, columns): a changed view
            starts a file of its own from position 0 beside the old one, which goes once the new
            one has caught up. A damaged file is dropped and built again. Of a long log the indexes
            are made when nearly all is folded; whoever waits for its end waits for them, too.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel

from domain.errors import TransientError
from domain.event import Event
from domain.view import Table
from infra.doorbell import Doorbell, ring
from infra.ports import Batch, EventLog, Subscription
from infra.together import until_first
from infra.view_file import CHANGES_MAX, COMMIT_S, Rows, ViewFile
from infra.view_journal import AHEAD_MAX, Gap

Row = TypeVar("Row", bound=BaseModel)
Watcher = Callable[[str, Any], None]

BATCH = 300  # the loop stands still for one: with the cores full, 1000 cost leaders their lease
_HORIZON_EVERY_S = 0.02  # how soon a waiting reader asks the log how far the silence reaches
_RING_EVERY_S = 0.5  # by whoever keeps a journal, besides after every commit
_HEARD_S = 1.5  # without a ring: it is gone, or stands still
_COMMITS_APART_S = 0.01
_FOLD_S = 2.0  # how long to fold after there was a need to
_REST = 50  # times as long as rows took to take, nobody takes any more, unless they are waited for;
_REST_MAX_S = 1.0  # ... a new leader begins with what has come since, some 30 ms of work
_ASK_AGAIN_S = 0.1  # a log that does not answer
_FORMAT = 6  # of the file, beyond its tables
_WANTED = "?"  # rung at the neighbour: somebody waits for what is not in your file yet
_log = structlog.get_logger(__name__)


class SqliteViews(ViewFile):
    """Implements ``infra.ports.Views``. Use it from one event loop; queries are plain calls."""

    def __init__(
        self, directory: Path, tables: Sequence[Table[Any]], *, beside: bool = False
    ) -> None:
        """Open (or create) the views under ``directory``; it belongs to one instance alone.

        ``beside``: the directories next to it are those of the service's other instances.
        """
        names = [table.name for table in tables]
        if len(set(names)) != len(names):
            raise ValueError(f"two tables have one name: {sorted(names)}")
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        super().__init__(directory / f"views-{_signature(tables)}.sqlite", tables)
        self._tables = tuple(tables)
        self._beside = beside
        self._horizon = self._applied
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._uncommitted = asyncio.Event()
        self._watchers: list[tuple[Rows[Any], Watcher]] = []
        self._bell: Doorbell | None = None
        self._rung = asyncio.Event()  # by a neighbour, or to go and fold
        self._wanted = asyncio.Event()  # commit before it is time to
        self._waiting = 0  # how many wait for a change
        self._hurry = asyncio.Event()  # somebody waits, or has to fold
        self._neighbour = ""  # the directory of whoever rang last
        self._heard_at = float("-inf")
        self._fold_until = float("-inf")
        self._leading = False
        self._bare = False  # indexes are missing: nobody goes on as if everything were there

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
        """Hold what the log holds and what comes, until cancelled.

        Raises:
            PoisonError: an event cannot be read, or is newer than this version; nothing is skipped.
            sqlite3.Error: the file cannot be written.
        """
        if not self.subjects:
            await asyncio.Event().wait()
        if self._unindexed and await _last_position(log) - self._applied <= AHEAD_MAX:
            await self.index()
        if not self._beside:
            return await self._fold(log)
        self.fold_for_now()
        self._bell = Doorbell(self._bell_of(self._directory), self._told)
        try:
            while True:
                await self._fold(log, self._serve_neighbours(), self._until_rows_will_do())
                await self._copy()
        finally:
            self._bell.close()
            self._bell = None

    def lead(self, leads: bool) -> None:
        """From now on fold whatever comes, and let the neighbours have it soon; or no longer."""
        self._leading = leads
        self.fold_for_now()

    def fold_for_now(self) -> None:
        """Follow the log for the next seconds, even if a neighbour has rows to give."""
        self._fold_until = time.monotonic() + _FOLD_S
        self._rung.set()
        self._hurry.set()

    def apply(self, batch: Batch) -> None:
        """Fold one batch: all of it or, when an event cannot be folded, nothing."""
        self._usable()
        try:
            events = [event for event in batch.events if event.position > self._applied]
            for rows in self._rows.values():
                rows.fold(self._db, events)
        except BaseException:
            for rows in self._rows.values():
                rows.drop_fresh()
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
        self._copied = ""
        if self._changes >= CHANGES_MAX:
            self.commit_aside()
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
        if self._source is not None and self.position < position:
            ring(self._bell_of(self._source.parent), _WANTED)
        while self.position < position or self._bare:
            if asyncio.get_running_loop().time() >= deadline:
                raise TransientError(
                    f"the views have reached position {self.position}, not {position}"
                    f"{' with its indexes' if self._bare else ''}, within {timeout_s:g} s"
                )
            if not await self.changed(timeout_s=wait_s):
                if self._source is not None and wait_s >= _HORIZON_EVERY_S:
                    self.fold_for_now()  # perhaps nothing of ours is there: only the log knows
                await self._look_ahead()
                wait_s = min(wait_s * 2, _HORIZON_EVERY_S)

    async def changed(self, *, timeout_s: float) -> bool:
        self._waiting += 1
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _fold(self, log: EventLog, *beside: Coroutine[Any, Any, None]) -> None:
        """Fold what comes, until one of ``beside`` ends."""
        subscription = log.follow(
            self.subjects, after=self._applied, batch=BATCH, events=self.events
        )
        self._subscription = subscription
        try:
            await until_first(self._read(subscription), self._keep_committed(), *beside)
        finally:
            self._subscription = None
            await subscription.close()

    async def _read(self, subscription: Subscription) -> None:
        caught_up = False
        async for batch in subscription:
            self._bare = bool(self._unindexed)
            self.apply(batch)
            if self._bare and batch.pending <= BATCH:
                await self.index()
                self._bare = False
                self.wake()
            if batch.pending == 0 and not caught_up:
                caught_up = True
                self._drop_older_files()

    async def _keep_committed(self) -> None:
        while True:
            await self._uncommitted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_S):
                    await self._wanted.wait()
            self._wanted.clear()
            self._uncommitted.clear()
            self.commit_aside()
            await self.committed()
            self._ring_neighbours()
            await asyncio.sleep(_COMMITS_APART_S)

    # Beside other instances

    async def _serve_neighbours(self) -> None:
        while True:
            await asyncio.sleep(_RING_EVERY_S)  # the file is nothing that a new leader waits for
            self.keep_journal(self._leading)
            self._ring_neighbours()

    def _ring_neighbours(self) -> None:
        """Tell the neighbours that there may be rows to take, if there are."""
        if not self._journal.kept:
            return
        for bell in self._directory.parent.glob(f"*/{self._path.stem}.bell"):
            if bell.parent != self._directory:
                ring(bell, self._directory.name)

    def _told(self, line: str) -> None:
        """Somebody rang: a neighbour who waits for a commit, or one who has made one."""
        if line == _WANTED:
            self._wanted.set()
        elif not self._leading and Path(line).name == line:
            self._neighbour, self._heard_at = line, time.monotonic()
            self._rung.set()

    async def _until_rows_will_do(self) -> None:
        """Return as soon as a neighbour's rows will do instead of the log's events."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            if self._must_fold() or self._unindexed or self._pending > AHEAD_MAX:
                continue
            try:
                self._take_rows()
            except Gap as gap:
                _log.info("neighbour_too_new", neighbour=self._neighbour, reason=str(gap))
                self.fold_for_now()
                self._rung.clear()
            else:
                return

    async def _copy(self) -> None:
        """Take the neighbour's rows whenever it rings, until we have to fold ourselves."""
        _log.debug("views_taken", neighbour=self._neighbour)
        if not self._pending:
            self._drop_older_files()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_HEARD_S):
                        await self._rung.wait()
                self._rung.clear()
                began = time.monotonic()
                # Once more where we go on by ourselves: what it has, need not be folded.
                self._take_rows()
                if self._must_fold():
                    return
                await self._rest(time.monotonic() - began)
        except Gap as gap:
            _log.info("neighbour_left", neighbour=self._neighbour, reason=str(gap))
            self.fold_for_now()
        finally:
            self.leave_source()

    async def _rest(self, took_s: float) -> None:
        """Let more rows come together: taking them one commit at a time writes each page again."""
        self._hurry.clear()
        if self._waiting:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_REST * took_s, _REST_MAX_S)):
                await self._hurry.wait()

    def _must_fold(self) -> bool:
        now = time.monotonic()
        return (
            self._leading
            or bool(self._watchers)
            or now < self._fold_until
            or now >= self._heard_at + _HEARD_S
        )

    def _take_rows(self) -> None:
        if self.take(self._directory.parent / self._neighbour / self._path.name):
            self.wake()

    def _bell_of(self, directory: Path) -> Path:
        return directory / f"{self._path.stem}.bell"

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
        for path in self._directory.glob("views-*"):
            if not path.name.startswith(self._path.stem):
                path.unlink(missing_ok=True)


async def _last_position(log: EventLog) -> int:
    while True:
        try:
            return await log.last_position()
        except TransientError:
            await asyncio.sleep(_ASK_AGAIN_S)


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
    return hashlib.sha256(json.dumps([_FORMAT, *shape]).encode()).hexdigest()[:16]
