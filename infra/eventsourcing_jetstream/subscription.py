"""A subscription: every event after a position, then each new one, until somebody stops it.

The reader runs on the hub's loop and fills a feed; the iterator empties it in whatever thread it
is used. Stopping is possible from any thread and never waits. A subscription keeps the connection
open by itself: it goes on when the application that it was made from is gone.
"""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from eventsourcing.persistence import (
    ApplicationRecorder,
    Notification,
    OperationalError,
    Subscription,
)

from domain.errors import LogRefused, TransientError
from infra.eventsourcing_jetstream import codec
from infra.eventsourcing_jetstream.hub import Lease
from infra.eventsourcing_jetstream.stream import AppStream
from infra.nats.reader import Raw, StreamReader

BATCH = 500
BATCHES_MAX = 8  # in the feed; then the reader waits, and the server with it
RETRY_S = 0.5

T = TypeVar("T")


class Feed(Generic[T]):
    """Batches from the loop to one thread."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._items: deque[list[T]] = deque()
        self._changed = threading.Condition()  # with a lock that its own thread may take again
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self.stopped = False
        self.error: Exception | None = None

    def start(self, run: Callable[["Feed[T]"], Any]) -> None:
        """Run the coroutine that fills it, on the loop."""

        def begin() -> None:
            if not self.stopped:
                self._task = asyncio.ensure_future(run(self))

        self.lease.hub.soon(begin)

    def stop(self) -> None:
        """End it, from any thread, at once."""
        with self._changed:
            self.stopped = True
            self._items.clear()
            self._changed.notify_all()
        self.lease.hub.soon(self._cancel)
        self.lease.close()

    def fail(self, error: Exception) -> None:
        """End it with an error that the iterating thread will see."""
        self.error = error
        self.stop()

    async def put(self, items: list[T]) -> None:
        with self._changed:
            self._items.append(items)
            if len(self._items) >= BATCHES_MAX:
                self._room.clear()
            self._changed.notify()
        await self._room.wait()

    def get(self) -> list[T]:
        """The next batch; empty once it has been stopped.

        Raises:
            OperationalError: the events cannot be read.
        """
        with self._changed:
            while not self._items and not self.stopped:
                self._changed.wait()
            if self.stopped:
                if self.error is not None:
                    raise self.error
                return []
            full = len(self._items) >= BATCHES_MAX
            items = self._items.popleft()
        if full:
            self.lease.hub.soon(self._room.set)
        return items

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class JetStreamSubscription(Subscription[ApplicationRecorder]):
    """Made by ``JetStreamApplicationRecorder.subscribe``."""

    def __init__(
        self,
        recorder: ApplicationRecorder,
        stream: AppStream,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._wanted = frozenset(topics)
        self._batch: list[Raw] = []
        self._next = 0
        self._feed: Feed[Raw] = Feed(stream.lease.another())
        self._end = weakref.finalize(self, self._feed.stop)
        self._end.atexit = False
        name, pattern, after = stream.names.stream, stream.names.all, gt or 0
        self._feed.start(lambda feed: fill(feed, name, pattern, after))

    def stop(self) -> None:
        """Stop it, from any thread; whoever iterates sees the end."""
        super().stop()
        self._end()

    def __next__(self) -> Notification:
        while True:
            if self._feed.stopped:
                self._feed.get()  # raises what went wrong
                raise StopIteration
            if self._next == len(self._batch):
                self._batch, self._next = self._feed.get(), 0
                continue
            raw = self._batch[self._next]
            self._next += 1
            notification = codec.notification(raw.position, raw.data)
            if not self._wanted or notification.topic in self._wanted:
                return notification


async def fill(feed: Feed[Raw], stream: str, pattern: str, after: int) -> None:
    """Read the stream into the feed until cancelled."""
    reader: StreamReader | None = None
    try:
        while reader is None:
            try:
                nc = await feed.lease.hub.connection()
                reader = StreamReader(nc, stream, [pattern], after=after).start()
            except TransientError:  # the server is away: it will come back
                await asyncio.sleep(RETRY_S)
        while True:
            await feed.put(await reader.next(BATCH))
    except asyncio.CancelledError:
        feed.stop()  # by its user, or the loop ends
        raise
    except LogRefused as error:
        feed.fail(OperationalError(str(error)))
    except Exception as error:
        feed.fail(error)
    finally:
        if reader is not None:
            await reader.close()
