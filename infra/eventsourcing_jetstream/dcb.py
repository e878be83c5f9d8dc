"""Dynamic consistency boundaries: events with tags, appended if a query finds nothing new.

Soundness   every event of the store is on one literal subject, and every append, with a condition
            or without, states that subject's last position: what the query was checked against is
            what the events follow, on one server and on three.
Speed       appends that wait together are checked one after the other and written as one batch.
Index       types and tags are kept in memory; a process reads the store once, then what is new.
"""

import asyncio
import weakref
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import orjson
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
)
from eventsourcing.persistence import DataError, IntegrityError, ProgrammingError

from infra.eventsourcing_jetstream import codec
from infra.eventsourcing_jetstream.stream import AppStream
from infra.eventsourcing_jetstream.subscription import Feed, fill
from infra.nats.reader import Raw
from infra.nats.writer import Message

PAGE = 1000
GROUP_MAX = 1000  # events written as one batch, unless one append alone has more
KEPT_MAX = 20_000  # events kept in memory
GAP_MAX = 20  # reading over so many events is cheaper than another request


class Response(DCBReadResponse):
    """What was found, as of one moment."""

    def __init__(self, events: Iterable[DCBSequencedEvent], head: int | None) -> None:
        self._events: Iterator[DCBSequencedEvent] = iter(events)
        self._head = head

    @property
    def head(self) -> int | None:
        """The store's last position; with a limit, the last event's; None without any."""
        return self._head

    def __next__(self) -> DCBSequencedEvent:
        return next(self._events)


@dataclass(slots=True, eq=False)
class _Append:
    events: Sequence[DCBEvent]
    condition: DCBAppendCondition | None
    answer: "asyncio.Future[int]"


class _Nothing(Exception):
    """No append of the group may be written."""


class Index:
    """Types and tags of every event; the event at index ``i`` has the position ``i + 1``."""

    def __init__(self) -> None:
        self._kinds: list[tuple[str, frozenset[str]]] = []
        self._by_tag: dict[str, list[int]] = defaultdict(list)
        self._by_type: dict[str, list[int]] = defaultdict(list)

    @property
    def head(self) -> int:
        return len(self._kinds)

    def add(self, event: DCBEvent) -> None:
        tags = frozenset(event.tags)
        self._kinds.append((event.type, tags))
        self._by_type[event.type].append(self.head)
        for tag in tags:
            self._by_tag[tag].append(self.head)

    def find(self, query: DCBQuery | None, after: int) -> list[int]:
        """The positions after ``after`` of the events that match, ascending."""
        if query is None or not query.items:
            return list(range(after + 1, self.head + 1))
        found: set[int] = set()
        for item in query.items:
            found.update(p for p in self._candidates(item, after) if self._matches(item, p))
        return sorted(found)

    def _candidates(self, item: DCBQueryItem, after: int) -> Iterable[int]:
        if item.tags:
            rarest = min((self._by_tag.get(tag, []) for tag in item.tags), key=len)
            yield from rarest[bisect_right(rarest, after) :]
        elif item.types:
            for kind in item.types:
                of_type = self._by_type.get(kind, [])
                yield from of_type[bisect_right(of_type, after) :]
        else:
            yield from range(after + 1, self.head + 1)

    def _matches(self, item: DCBQueryItem, position: int) -> bool:
        kind, tags = self._kinds[position - 1]
        return (not item.types or kind in item.types) and tags.issuperset(item.tags)


def matches(query: DCBQuery | None, event: DCBEvent) -> bool:
    """Whether the query, or one of its items, is about the event."""
    if query is None or not query.items:
        return True
    return any(
        (not item.types or event.type in item.types) and set(event.tags).issuperset(item.tags)
        for item in query.items
    )


class TaggedLog:
    """All methods run on the hub's loop."""

    def __init__(self, stream: AppStream) -> None:
        self.stream = stream
        self._subject = stream.names.dcb
        self._index = Index()
        self._kept: OrderedDict[int, DCBEvent] = OrderedDict()
        self._reading = asyncio.Lock()
        self._waiting: list[_Append] = []
        self._writing = asyncio.Lock()

    async def read(self, query: DCBQuery | None, after: int, limit: int | None) -> Response:
        await self._catch_up()
        positions = self._index.find(query, after)[:limit]
        head = self._index.head if limit is None else positions[-1] if positions else 0
        return Response(await self._events(positions), head or None)

    async def append(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None) -> int:
        """Write all events or none; return the last one's position.

        Raises:
            IntegrityError: events match the condition.
        """
        append = _Append(events, condition, asyncio.get_running_loop().create_future())
        self._waiting.append(append)
        async with self._writing:
            if not append.answer.done():  # nobody who was before us has taken it along
                await self._write_group()
        return await append.answer

    async def _write_group(self) -> None:
        group = [self._waiting.pop(0)]
        count = len(group[0].events)
        while self._waiting and count + len(self._waiting[0].events) <= GROUP_MAX:
            group.append(self._waiting.pop(0))
            count += len(group[-1].events)
        try:
            await self._write(group)
        except Exception as error:
            for append in group:
                _refuse(append, error)

    async def _write(self, group: Sequence[_Append]) -> None:
        batch = uuid4().hex
        accepted: list[_Append] = []

        async def make(again: bool) -> list[Message]:
            if await self._catch_up(batch):
                raise IntegrityError("written already")  # ``write`` looks, and finds it
            accepted[:] = self._allowed(group)
            if not accepted:
                raise _Nothing
            return self._messages(accepted, batch)

        try:
            first = await self.stream.write(make, f"{batch}-0")
        except _Nothing:
            first = 0
        for append in group:
            if append not in accepted:
                _refuse(append, IntegrityError(append.condition))
                continue
            for event in append.events:
                if first == self._index.head + 1:
                    self._take(event)
                first += 1
            if not append.answer.done():
                append.answer.set_result(first - 1)

    def _allowed(self, group: Sequence[_Append]) -> list[_Append]:
        """Those whose conditions hold after the ones before them."""
        allowed: list[_Append] = []
        for append in group:
            condition = append.condition
            if condition is not None:
                query = condition.fail_if_events_match
                earlier = (event for other in allowed for event in other.events)
                if self._index.find(query, condition.after or 0) or any(
                    matches(query, event) for event in earlier
                ):
                    continue
            allowed.append(append)
        return allowed

    def _messages(self, appends: Sequence[_Append], batch: str) -> list[Message]:
        events = [event for append in appends for event in append.events]
        return [
            codec.message(
                self._subject,
                encode(event, id=f"{batch}-{index}", source=self.stream.source),
                None if index else self._index.head,
            )
            for index, event in enumerate(events)
        ]

    async def _catch_up(self, batch: str = "") -> bool:
        """Read what is new; True if some of it is of this batch."""
        ours = False
        async with self._reading:
            stream = await self.stream.reader()
            while True:
                run = await stream.of(self._subject, self._index.head, PAGE)
                for stored in run:
                    if stored.position != self._index.head + 1:
                        raise DataError(f"{stream.name}: no event {self._index.head + 1}")
                    ours = ours or (bool(batch) and codec.message_id(stored.data).startswith(batch))
                    self._take(decode(stored.data))
                if len(run) < PAGE:
                    return ours

    def _take(self, event: DCBEvent) -> None:
        self._index.add(event)
        self._keep(self._index.head, event)

    def _keep(self, position: int, event: DCBEvent) -> None:
        self._kept[position] = event
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def _events(self, positions: Sequence[int]) -> list[DCBSequencedEvent]:
        found = {p: self._kept[p] for p in positions if p in self._kept}
        stream = await self.stream.reader()
        for first, last in _runs([p for p in positions if p not in found]):
            for stored in await stream.of(self._subject, first - 1, last - first + 1):
                found[stored.position] = decode(stored.data)
        return [DCBSequencedEvent(event=_copy(found[p]), position=p) for p in positions]


class JetStreamDCBRecorder(DCBRecorder):
    """The synchronous face; see the module's first lines."""

    def __init__(self, stream: AppStream) -> None:
        self.stream = stream
        self.log = TaggedLog(stream)
        stream.call(stream.open())

    def read(
        self,
        query: DCBQuery | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> Response:
        """The events after a position that the query is about, at most ``limit``."""
        return self.stream.call(self.log.read(query, after or 0, limit))

    def append(
        self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
    ) -> int:
        """Append all events or none; return the last one's position.

        Raises:
            IntegrityError: events after the condition's position match its query.
        """
        if not events:
            raise ProgrammingError("an append needs at least one event")
        return self.stream.call(self.log.append(list(events), condition))

    def subscribe(
        self, query: DCBQuery | None = None, *, after: int | None = None
    ) -> "JetStreamDCBSubscription":
        """The events after a position that the query is about, then each new one."""
        return JetStreamDCBSubscription(self, query=query, after=after)


class JetStreamDCBSubscription(DCBSubscription[JetStreamDCBRecorder]):
    """Made by ``JetStreamDCBRecorder.subscribe``; stopped from any thread."""

    def __init__(
        self,
        recorder: JetStreamDCBRecorder,
        query: DCBQuery | None = None,
        after: int | None = None,
    ) -> None:
        super().__init__(recorder=recorder, query=query, after=after)
        self._batch: list[Raw] = []
        self._next = 0
        self._feed: Feed[Raw] = Feed(recorder.stream.lease.another())
        self._end = weakref.finalize(self, self._feed.stop)
        self._end.atexit = False
        names, position = recorder.stream.names, after or 0
        self._feed.start(lambda feed: fill(feed, names.stream, names.dcb, position))

    def stop(self) -> None:
        """Stop it, from any thread; whoever iterates sees the end."""
        super().stop()
        self._end()

    def __next__(self) -> DCBSequencedEvent:
        while True:
            if self._feed.stopped:
                self._feed.get()  # raises what went wrong
                raise StopIteration
            if self._next == len(self._batch):
                self._batch, self._next = self._feed.get(), 0
                continue
            raw = self._batch[self._next]
            self._next += 1
            event = decode(raw.data)
            if matches(self._query, event):
                return DCBSequencedEvent(event=event, position=raw.position)


def encode(event: DCBEvent, *, id: str, source: str) -> bytes:
    fields: dict[str, object] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": event.type,
        "tags": orjson.dumps(event.tags).decode(),  # attributes cannot be lists
    }
    codec.put_state(fields, event.data)
    return orjson.dumps(fields)


def decode(body: bytes) -> DCBEvent:
    """Raises DataError: this is not a tagged event."""
    fields = codec.parse(body)
    try:
        tags = orjson.loads(fields["tags"])
        return DCBEvent(type=fields["type"], data=codec.get_state(fields), tags=tags)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"not a tagged event: {error!r}") from error


def _refuse(append: _Append, error: Exception) -> None:
    if not append.answer.done():
        append.answer.set_exception(error)


def _copy(event: DCBEvent) -> DCBEvent:
    return DCBEvent(type=event.type, data=event.data, tags=list(event.tags))


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each stretch without a large gap."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and position - runs[-1][1] <= GAP_MAX:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs
