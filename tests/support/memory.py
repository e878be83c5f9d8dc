"""An event log in memory with the same conditions as the one on JetStream.

It passes the same contract suite (tests/contract) and stores the same bytes, so a domain or
service test that uses it sees what it would see on the real log.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.errors import ConflictError, PhoenixError, PoisonError, StaleEpoch
from domain.event import Event
from domain.recorded import Recorded
from infra import codec
from infra.ports import Append, Batch, Fence, Guard, Meta, Outcome, Write

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS subject pattern (``*`` one token, ``>`` the rest) covers a subject."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > index
        if index >= len(tokens) or token not in ("*", tokens[index]):
            return False
    return len(wanted) == len(tokens)


@dataclass(frozen=True, slots=True)
class _Stored:
    subject: str
    body: bytes
    id: str
    headers: Mapping[str, str]


class MemoryLog:
    """Implements ``infra.ports.EventLog``; raw intents are stamped with the time ``now``."""

    def __init__(self, now: datetime = T0) -> None:
        self.now = now
        self._messages: list[_Stored] = []
        self._grown = asyncio.Condition()

    async def append(
        self, writes: Sequence[Write], *, meta: Meta, fence: Fence | Guard | None = None
    ) -> tuple[int, ...]:
        codec.check(writes, fence)
        ids = [codec.event_id(meta.command_id, i, w.event) for i, w in enumerate(writes)]
        found = self._already(ids[0], len(writes))
        if found:
            return found
        if fence is not None and self._last(fence.subject) != fence.position:
            if isinstance(fence, Guard):
                last = self._last(fence.subject)
                raise ConflictError(fence.subject, expected=fence.position, found=last)
            newest = await self.last(fence.subject)
            current = getattr(newest.event, "epoch", None) if newest else None
            raise StaleEpoch(given=fence.epoch, current=current)
        for write in writes:
            last = self._last(write.event.subject)
            if write.expected is not None and last != write.expected:
                raise ConflictError(write.event.subject, expected=write.expected, found=last)
        epoch = fence.epoch if isinstance(fence, Fence) else 0
        for write, id in zip(writes, ids, strict=True):
            body = codec.encode(write.event, id=id, meta=meta, epoch=epoch)
            self._messages.append(_Stored(write.event.subject, body, id, {}))
        await self._wake()
        end = len(self._messages)
        return tuple(range(end - len(writes) + 1, end + 1))

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for writes, meta in appends:
            try:
                outcomes.append(await self.append(writes, meta=meta, fence=fence))
            except PhoenixError as error:
                outcomes.append(error)
        return outcomes

    async def submit(self, body: bytes, *, person: str = "", message_id: str = "") -> int:
        subject = codec.raw_subject(person)
        found = self._already(message_id, 1) if message_id else None
        if found:
            return found[0]
        return await self.publish(
            subject, body, id=message_id, headers={codec.MESSAGE_ID: message_id}
        )

    async def publish(
        self, subject: str, body: bytes, *, id: str = "", headers: Mapping[str, str] | None = None
    ) -> int:
        """Store any bytes under any subject, as a foreign client could; return the position."""
        self._messages.append(_Stored(subject, body, id, headers or {}))
        await self._wake()
        return len(self._messages)

    async def read(
        self, subject: str, *, after: int = 0, limit: int = 10_000
    ) -> list[Recorded[Event]]:
        if "*" in subject or ">" in subject:
            raise ValueError(f"{subject} is not a literal subject")
        positions = [
            position
            for position, stored in enumerate(self._messages, 1)
            if position > after and stored.subject == subject
        ]
        return [self._decoded(position) for position in positions[:limit]]

    async def get(self, position: int) -> Recorded[Event] | None:
        return self._decoded(position) if 0 < position <= len(self._messages) else None

    async def last(self, subject: str) -> Recorded[Event] | None:
        position = self._last(subject)
        return self._decoded(position) if position else None

    async def last_position(self) -> int:
        return len(self._messages)

    def follow(
        self,
        subjects: Sequence[str],
        *,
        after: int = 0,
        batch: int = 500,
        events: Collection[type[Event]] | None = None,
    ) -> "MemorySubscription":
        return MemorySubscription(self, subjects, after, batch, events)

    def _already(self, id: str, count: int) -> tuple[int, ...] | None:
        for position, stored in enumerate(self._messages, 1):
            if stored.id == id:
                return tuple(range(position, position + count))
        return None

    def _last(self, subject: str) -> int:
        for position in range(len(self._messages), 0, -1):
            if self._messages[position - 1].subject == subject:
                return position
        return 0

    def _decoded(self, position: int) -> Recorded[Event]:
        stored = self._messages[position - 1]
        return codec.decode(
            stored.subject, stored.body, position=position, time=self.now, headers=stored.headers
        )

    def _wanted(
        self, position: int, only: Collection[type[Event]] | None
    ) -> Recorded[Event] | None:
        stored = self._messages[position - 1]
        return codec.decode(
            stored.subject,
            stored.body,
            position=position,
            time=self.now,
            headers=stored.headers,
            only=only,
        )

    async def _wake(self) -> None:
        async with self._grown:
            self._grown.notify_all()


class MemorySubscription:
    """Implements ``infra.ports.Subscription``."""

    def __init__(
        self,
        log: MemoryLog,
        subjects: Sequence[str],
        after: int,
        batch: int,
        events: Collection[type[Event]] | None,
    ) -> None:
        self._log = log
        self._events = events
        self._subjects = tuple(subjects)
        self._limit = batch
        self._seen = after  # every message up to here has been looked at
        self._given = after
        self._done = after
        self._waiting = False

    def __aiter__(self) -> "MemorySubscription":
        return self

    async def __anext__(self) -> Batch:
        self._waiting = True
        self._done = self._given
        async with self._log._grown:
            while not (found := self._found()):
                await self._log._grown.wait()
        self._waiting = False
        events: list[Recorded[Event]] = []
        before = self._seen
        for position in found[: self._limit]:
            try:
                recorded = self._log._wanted(position, self._events)
            except PoisonError:
                if self._seen == before:
                    raise
                break
            self._given = self._seen = position
            if recorded is not None:
                events.append(recorded)
        return Batch(events, self._given, sum(position > self._seen for position in found))

    def _found(self) -> list[int]:
        return [
            position
            for position in range(self._seen + 1, len(self._log._messages) + 1)
            if any(matches(p, self._log._messages[position - 1].subject) for p in self._subjects)
        ]

    async def horizon(self) -> int:
        if self._waiting and not self._found():
            return max(len(self._log._messages), self._given)
        return self._done

    async def close(self) -> None:
        """Nothing is held outside."""
