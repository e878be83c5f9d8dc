"""Events by originator and by position, on one stream: what the recorders are made of.

Ids         a notification's id is its message's position in the stream: 1, 2, 3, ...
Versions    ascend within an originator; the server refuses a second writer (condition: the last
            message of the originator's subject is the one we know).
Cost        a known originator is written without reading first; an old version in a long
            history is found by searching positions, a request a step, at most 2 log2(n) steps.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from eventsourcing.persistence import (
    IntegrityError,
    Notification,
    ProgrammingError,
    StoredEvent,
    Tracking,
)

from infra.eventsourcing_jetstream import codec
from infra.eventsourcing_jetstream.stream import AppStream
from infra.nats.fetch import Stored
from infra.nats.writer import Ack, Message

KNOWN_MAX = 10_000  # originators whose last position is remembered
READ_OVER = 64  # events: reading and dropping so many is cheaper than searching
PAGE = 1000

# The values of the named keys (None: never written) to those that change; quick and pure.
Update = Callable[[Mapping[str, bytes | None]], Mapping[str, bytes]]


class _Last(NamedTuple):
    version: int
    position: int


class EventLog:
    """All methods run on the hub's loop; ``TransientError`` and ``LogRefused`` pass through."""

    def __init__(self, stream: AppStream) -> None:
        self.stream = stream
        self.names = stream.names
        self._known: OrderedDict[str, _Last] = OrderedDict()

    # Writing

    def insert(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> "Insert":
        """Everything or nothing; the work yields the events' positions.

        Raises:
            IntegrityError: an originator's versions do not ascend.
        """
        return Insert(self, events, tracking)

    def believed(self, subject: str, version: int) -> int | None:
        """The position that the originator's last message has if nobody else has written; None
        if that is not known or this version cannot follow it. A first version needs no look: the
        server refuses it if there is another.
        """
        known = self._known.get(subject)
        if known is None:
            return 0 if version <= 1 else None
        return known.position if known.version < version else None

    async def expected(self, subject: str, version: int, again: bool) -> int:
        """The position that the originator's last message must have for this version to follow.

        Believed at first, asked for after a refusal.

        Raises:
            IntegrityError: this version is not after the newest one.
        """
        known = None if again else self._known.get(subject)
        if known is None:
            if version <= 1 and not again:
                return 0
            found = await self.stream.last(subject)
            if found is None:
                return 0
            known = _Last(codec.decode(found.data).event.originator_version, found.position)
            self.remember(subject, *known)
        if known.version >= version:
            raise IntegrityError(f"{subject}: version {version} is not after {known.version}")
        return known.position

    async def mark(self, tracking: Tracking, batch: str) -> Message:
        """The message that records a position; no other may have been recorded since."""
        upstream, id = tracking.application_name, tracking.notification_id
        at, position = await self.tracked(upstream)
        if at is not None and at >= id:
            raise IntegrityError(f"{upstream}: notification {id} is not after {at}")
        body = codec.encode_tracking(upstream, id, id=f"{batch}-t", source=self.stream.source)
        return codec.message(self.names.tracked(upstream), body, position)

    async def tracked(self, upstream: str) -> tuple[int | None, int]:
        """The highest id recorded for the upstream application, and its message's position."""
        found = await self.stream.last(self.names.tracked(upstream))
        if found is None:
            return None, 0
        return int(codec.parse(found.data)["data"]["notification_id"]), found.position

    # Reading an originator

    async def select(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None,
        lte: int | None,
        desc: bool,
        limit: int | None,
    ) -> list[StoredEvent]:
        """The originator's events with ``gt`` < version <= ``lte``, at most ``limit``."""
        subject = self.names.originator(originator_id)
        if limit is not None and limit <= 0:
            return []
        if desc and limit is not None:
            return await self._newest(subject, gt, lte, limit)
        found = await self._ascending(subject, gt, lte, limit)
        return found[::-1] if desc else found

    async def _ascending(
        self, subject: str, gt: int | None, lte: int | None, limit: int | None
    ) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        stream = await self.stream.reader()
        after = await self._before(subject, gt)
        while True:
            count = _page(gt, lte, None if limit is None else limit - len(found))
            run = await stream.of(subject, after, count)
            for stored in run:
                event = codec.decode(stored.data).event
                if lte is not None and event.originator_version > lte:
                    return found
                if gt is None or event.originator_version > gt:
                    found.append(event)
                if len(found) == limit:
                    return found
            if len(run) < count:
                if run:
                    last = codec.decode(run[-1].data).event
                    self.remember(subject, last.originator_version, run[-1].position)
                return found
            after = run[-1].position

    async def _newest(
        self, subject: str, gt: int | None, lte: int | None, limit: int
    ) -> list[StoredEvent]:
        stored = await self.stream.last(subject)
        if stored is None:
            return []
        last = codec.decode(stored.data).event
        self.remember(subject, last.originator_version, stored.position)
        top = last.originator_version if lte is None else min(lte, last.originator_version)
        if limit == 1 and top == last.originator_version:
            return [last] if gt is None or top > gt else []
        bottom = -1 if gt is None else gt
        reach = limit
        while True:  # versions may have gaps: then look further back
            lower = max(top - reach, bottom)
            found = await self._ascending(subject, lower, top, None)
            if len(found) >= limit or lower == bottom:
                return found[: -limit - 1 : -1]
            reach *= 4

    async def _before(self, subject: str, gt: int | None) -> int:
        """A position before the first event after version ``gt``, and not far before it."""
        if gt is None or gt <= READ_OVER:
            return 0
        known = self._known.get(subject)
        if known is not None and gt - READ_OVER <= known.version <= gt:
            return known.position
        stored = await self.stream.last(subject)
        if stored is None:
            return 0
        high = _Last(codec.decode(stored.data).event.originator_version, stored.position)
        if high.version <= gt:
            return high.position
        return await self._search(subject, gt, high)

    async def _search(self, subject: str, gt: int, high: _Last) -> int:
        """Guess by proportion and halve by turns: never more than twice the halvings."""
        stream = await self.stream.reader()
        low, halve = _Last(0, 0), False
        while gt - low.version > READ_OVER and high.position - low.position > 1:
            share = 0.5 if halve else (gt - low.version) / (high.version - low.version)
            room = high.position - low.position
            guess = low.position + min(max(int(room * share), 1), room - 1)
            stored = (await stream.of(subject, guess - 1, 1))[0]
            version = codec.decode(stored.data).event.originator_version
            if version <= gt:
                low = _Last(version, stored.position)
            else:
                high = _Last(version, guess)  # nothing of it lies between the guess and there
            halve = not halve
        return low.position

    # Reading all

    async def notifications(
        self, after: int, limit: int, stop: int | None, topics: Sequence[str]
    ) -> list[Notification]:
        """The events after a position and up to ``stop``, at most ``limit`` of these topics."""
        found: list[Notification] = []
        stream = await self.stream.reader()
        while len(found) < limit and (stop is None or after < stop):
            count = PAGE if topics else min(PAGE, limit - len(found))
            if stop is not None:
                count = min(count, stop - after)
            run = await stream.each(self.names.all, after, count, _notification)
            for notification in run:
                if stop is not None and notification.id > stop:
                    return found
                if not topics or notification.topic in topics:
                    found.append(notification)
                    if len(found) == limit:
                        return found
            if len(run) < count:
                return found
            after = run[-1].id
        return found

    async def max_id(self) -> int | None:
        stored = await self.stream.last(self.names.all)
        return stored.position if stored else None

    # A view's values

    async def insert_tracking(
        self, tracking: Tracking, keys: Sequence[str] = (), update: Update | None = None
    ) -> None:
        """Record the position and, in the same step, what ``update`` makes of the keys' values.

        Raises:
            IntegrityError: the position is not new.
        """
        batch = uuid4().hex

        async def make(again: bool) -> list[Message]:
            messages = [await self.mark(tracking, batch)]
            return messages + (await self._updated(keys, update, batch) if update else [])

        await self.stream.write(make, f"{batch}-t")

    async def _updated(self, keys: Sequence[str], update: Update, batch: str) -> list[Message]:
        """Each value is written only if it is still the one that was read."""
        stored = {key: await self.stream.last(self.names.value(key)) for key in keys}
        values = update({key: _value(found) for key, found in stored.items()})
        if unread := set(values) - set(stored):
            raise ProgrammingError(f"not among the keys that were read: {sorted(unread)}")
        messages = []
        for index, (key, value) in enumerate(values.items()):
            id = f"{batch}-v{index}"
            body = codec.encode_value(key, value, id=id, source=self.stream.source)
            found = stored[key]
            position = found.position if found else 0
            messages.append(codec.message(self.names.value(key), body, position))
        return messages

    async def value(self, key: str) -> bytes | None:
        return _value(await self.stream.last(self.names.value(key)))

    def remember(self, subject: str, version: int, position: int) -> None:
        self._known[subject] = _Last(version, position)
        self._known.move_to_end(subject)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


class Insert:
    """Implements ``hub.Quick``: usually what is believed holds, and one answer is all."""

    def __init__(
        self, log: EventLog, events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> None:
        self._log = log
        self._events = events
        self._tracking = tracking
        self._subjects = [log.names.originator(event.originator_id) for event in events]
        self._firsts = _firsts(events, self._subjects)
        self._batch = uuid4().hex
        self._sent: list[Message] = []

    def begin(self) -> "asyncio.Future[Ack] | None":
        conditions: dict[str, int] = {}
        for subject, version in self._firsts.items():
            position = self._log.believed(subject, version)
            if position is None:
                return None
            conditions[subject] = position
        if self._tracking is not None:
            return None
        self._sent = self._messages(conditions)
        return self._log.stream.send(self._sent)

    def value(self, answer: Ack) -> list[int]:
        return self._placed(answer.first)

    async def rest(self, error: BaseException | None) -> list[int]:
        """Raises:
        IntegrityError: a version exists already, or the tracking position is not new.
        """
        if error is not None and not isinstance(error, Exception):
            raise error
        failed = (self._sent, error) if error is not None else None
        tracked = self._tracking is not None
        first_id = f"{self._batch}-t" if tracked else f"{self._batch}-0"
        first = await self._log.stream.write(self._make, first_id, failed)
        return self._placed(first + tracked)

    async def _make(self, again: bool) -> list[Message]:
        mark = [await self._log.mark(self._tracking, self._batch)] if self._tracking else []
        conditions = {s: await self._log.expected(s, v, again) for s, v in self._firsts.items()}
        return mark + self._messages(conditions)

    def _messages(self, conditions: dict[str, int]) -> list[Message]:
        source, batch, messages = self._log.stream.source, self._batch, []
        for index, (event, subject) in enumerate(zip(self._events, self._subjects, strict=True)):
            body = codec.encode(event, id=f"{batch}-{index}", source=source)
            messages.append(codec.message(subject, body, conditions.pop(subject, None)))
        return messages

    def _placed(self, first: int) -> list[int]:
        for index, subject in enumerate(self._subjects):
            version = self._events[index].originator_version
            self._log.remember(subject, version, first + index)
        return list(range(first, first + len(self._events)))


def _firsts(events: Sequence[StoredEvent], subjects: Sequence[str]) -> dict[str, int]:
    """Each originator's first new version.

    Raises:
        IntegrityError: an originator's versions do not ascend.
    """
    firsts: dict[str, int] = {}
    newest: dict[str, int] = {}
    for event, subject in zip(events, subjects, strict=True):
        version = event.originator_version
        if newest.get(subject, version - 1) >= version:
            raise IntegrityError(f"{subject}: version {version} comes twice or too late")
        newest[subject] = version
        firsts.setdefault(subject, version)
    return firsts


def _page(gt: int | None, lte: int | None, limit: int | None) -> int:
    """How many messages to ask for: what can match, and what may lie before it."""
    over = min(max(gt or 0, 0), READ_OVER)
    count = PAGE if limit is None else min(PAGE, limit + over)
    if lte is not None:
        count = min(count, lte - max(gt or 0, 0) + over + 1)
    return max(count, 1)


def _notification(stored: Stored) -> Notification:
    return codec.notification(stored.position, stored.data)


def _value(stored: Stored | None) -> bytes | None:
    return codec.get_state(codec.parse(stored.data)) if stored else None
