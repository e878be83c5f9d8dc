"""The library's recorders: synchronous faces on an ``EventLog``, safe to use from any thread.

Errors: ``IntegrityError`` a version or tracking position is not new; ``OperationalError`` the
server is away, refuses or did not answer in time; ``DataError`` an event is too large;
``InterfaceError`` closed.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from infra.eventsourcing_jetstream.log import EventLog, Update
from infra.eventsourcing_jetstream.stream import AppStream
from infra.eventsourcing_jetstream.subscription import JetStreamSubscription


class _OnStream:
    """What every recorder is: a log on one stream, which exists once the recorder does."""

    def __init__(self, stream: AppStream) -> None:
        super().__init__()
        self.stream = stream
        self.log = EventLog(stream)
        stream.call(stream.open())


class JetStreamAggregateRecorder(_OnStream, AggregateRecorder):
    """Events by originator."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record all events or none.

        Raises:
            IntegrityError: a version is not after the originator's newest one.
        """
        self._insert(stored_events, **kwargs)
        return None

    def _insert(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        if not stored_events:
            return None
        return self.stream.quick(self.log.insert(stored_events))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The originator's events with ``gt`` < version <= ``lte``; newest first if ``desc``."""
        return self.stream.call(
            self.log.select(originator_id, gt=gt, lte=lte, desc=desc, limit=limit)
        )


class JetStreamApplicationRecorder(JetStreamAggregateRecorder, ApplicationRecorder):
    """Events by originator, and all of them in the order in which they were recorded."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record all events or none; return their notification ids."""
        return self._insert(stored_events, **kwargs)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """At most ``limit`` events from ``start`` up to ``stop`` with one of the topics."""
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        return self.stream.call(self.log.notifications(max(after, 0), limit, stop, topics))

    def max_notification_id(self) -> int | None:
        """The newest event's id; None before the first."""
        return self.stream.call(self.log.max_id())

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Every event after ``gt``, then each new one, until it is stopped."""
        return JetStreamSubscription(self, self.stream, gt=gt, topics=topics)


class JetStreamTrackingRecorder(_OnStream, TrackingRecorder):
    """Positions in other applications' events, and a view's values, which change with them.

    A subclass is a view: it calls ``insert_tracking`` with the keys that an event touches and a
    function from their values to the new ones. Position and values are written in one step.
    """

    def insert_tracking(
        self,
        tracking: Tracking,
        keys: Sequence[str] = (),
        update: Update | None = None,
    ) -> None:
        """Record a position and what the event there changes.

        Raises:
            IntegrityError: the position is not after the newest one.
        """
        self.stream.call(self.log.insert_tracking(tracking, keys, update))

    def max_tracking_id(self, application_name: str) -> int | None:
        """The newest position in the upstream application; None before the first."""
        return self.stream.call(self.log.tracked(application_name))[0]

    def value(self, key: str) -> bytes | None:
        """A value of the view; None when it has never been written."""
        return self.stream.call(self.log.value(key))


class JetStreamProcessRecorder(
    JetStreamTrackingRecorder, JetStreamApplicationRecorder, ProcessRecorder
):
    """Events and the position that they come from, in one step (``insert_events(tracking=)``)."""

    def _insert(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int] | None:
        if not stored_events and tracking is None:
            return None
        return self.stream.quick(self.log.insert(stored_events, tracking))
