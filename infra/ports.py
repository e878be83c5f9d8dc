"""What the services and Phoenix see of the outside world.

Adapters: ``infra.nats``, ``infra.views``.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec
from pydantic import BaseModel

from domain.errors import PhoenixError
from domain.event import Event
from domain.recorded import Recorded
from domain.view import Table

Row = TypeVar("Row", bound=BaseModel)


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, UTC, aware: for what is stored and shown."""

    def monotonic(self) -> float:
        """Seconds that only grow: for every wait and every lease."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A leader's right to write: ``position`` is that of its ``LeadershipTaken`` event."""

    service: str
    position: int
    epoch: int

    @property
    def subject(self) -> str:
        return f"events.leadership.{self.service}"


@dataclass(frozen=True, slots=True)
class Guard:
    """Another subject that must still stand where the writer has read it; 0: nothing is on it."""

    subject: str
    position: int


# A frozen dataclass takes five to ten times as long to make, and every append makes two of these.
class Write(msgspec.Struct, frozen=True, gc=False):
    """An event to append. ``expected`` is the last position on its subject as the writer knows it:
    0 for none yet, None for no version condition."""

    event: Event
    expected: int | None = None


class Meta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who writes, why, and as part of what.

    ``command_id`` makes event ids deterministic: the same command appended twice is recognised
    (id = UUIDv5 of command_id, index in the append and event type).
    """

    command_id: str
    actor: str
    correlation_id: str = ""
    causation_id: str = ""
    source: str = ""
    traceparent: str = ""


Append = tuple[Sequence[Write], Meta]
Outcome = tuple[int, ...] | PhoenixError  # the positions, or what ``append`` would have raised


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in log order, up to ``position``; ``pending`` is how many more may match."""

    events: Sequence[Recorded[Event]]
    position: int
    pending: int


class Subscription(Protocol):
    """Batches from the log, in order, without gaps or repeats, across reconnects; never ends."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...

    async def horizon(self) -> int:
        """A position up to which every matching event has been handed out."""

    async def close(self) -> None: ...


class EventLog(Protocol):
    async def append(
        self, writes: Sequence[Write], *, meta: Meta, fence: Fence | Guard | None = None
    ) -> tuple[int, ...]:
        """Append all or nothing; return the positions. A repeat returns the first time's positions.

        One write may carry a version or a fence; two or more may carry both (the fence rides on a
        write without a version condition, normally the last). A guard stands in a fence's place.

        Raises:
            ConflictError: a subject moved on, or the guarded one; read it again and decide again.
            StaleEpoch: the fence is not the newest: a newer leader writes.
            TransientError: no answer in time; the same append may be tried again.
            LogRefused: this will never be accepted (no permission, stream missing, too large).
            ValueError: version and fence on a single write.
        """

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        """Many appends that do not depend on one another, on their way together.

        Each is what a call of ``append`` with this fence would be, all or nothing by itself, and
        one that fails changes nothing for the others. Returns each one's positions or its error,
        in the order given; the log may take them in another. ``appends`` is read while earlier
        ones are on their way, at most about a thousand ahead.

        Raises:
            ValueError: as ``append``; those before it may have been written.
        """

    async def submit(self, body: bytes, *, person: str = "", message_id: str = "") -> int:
        """Publish a raw intent; return its position.

        Without a person it goes to ``intents.submit``, where anyone may publish; with one to
        ``intents.by.<person>``, where only services may: that is how a proven identity travels.
        """

    async def read(
        self, subject: str, *, after: int = 0, limit: int = 10_000
    ) -> list[Recorded[Event]]:
        """The events of one literal subject after a position, oldest first; empty when none."""

    async def get(self, position: int) -> Recorded[Event] | None:
        """One event by its position."""

    async def last(self, subject: str) -> Recorded[Event] | None:
        """The newest event of a literal subject, as the stream's leader knows it."""

    async def last_position(self) -> int:
        """The position of the newest message of the whole log; 0 when it is empty."""

    def follow(
        self,
        subjects: Sequence[str],
        *,
        after: int = 0,
        batch: int = 500,
        events: Collection[type[Event]] | None = None,
    ) -> Subscription:
        """Everything on these subjects (wildcards allowed) after a position, then what comes.

        With ``events``, those alone are handed out; the others count as read.
        """


class ObjectStore(Protocol):
    """Blobs by digest (hex SHA-256): what is stored never changes."""

    async def put(self, data: bytes, *, description: str = "") -> str:
        """Store and return the digest; storing the same bytes again changes nothing."""

    async def get(self, digest: str) -> bytes:
        """Return the bytes, verified against the digest.

        Raises:
            NotFound: no such object.
            PoisonError: the stored bytes do not have that digest.
        """


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page; ``cursor`` asks for the next ("" at the end); ``total`` of all pages."""

    rows: Sequence[Any]
    cursor: str
    total: int


class Reading(Protocol):
    """How far an instance has read: the platform's log, or a generated service's own."""

    @property
    def position(self) -> int: ...

    @property
    def lag(self) -> int: ...

    async def reach(self, position: int, *, timeout_s: float = 5.0) -> None:
        """Return once everything up to this position has been read.

        Raises:
            TransientError: not within the time.
        """


class Views(Reading, Protocol):
    """Read side of one instance. Positions are the log's."""

    def get(self, table: Table[Row], key: str) -> Row | None: ...

    def all(self, table: Table[Row], **where: object) -> list[Row]:
        """Every row that has these column values, by key order; for small tables."""

    def bodies(
        self, table: Table[Any], *, order: str, above: object, limit: int
    ) -> Sequence[tuple[Any, bytes]]:
        """The JSON of the next rows by a column without equal values, each with that value; for
        reading many rows of which little is needed. Empty at the end.
        """

    def fields(
        self,
        table: Table[Any],
        *paths: str,
        where: Mapping[str, object] | None = None,
        above: int = 0,
        limit: int,
    ) -> Sequence[tuple[Any, ...]]:
        """Place, key and some fields (``name``, ``name.inner``) of the next rows in the order of
        the log; ``above`` is the place after which they are. In a tenth of the time that making the
        rows takes. Empty at the end.

        Raises:
            Invalid: ``where`` names what is no column.
        """

    def watching(
        self, table: Table[Row], watcher: Callable[[str, Row | None], None]
    ) -> AbstractContextManager[None]:
        """Within the block, tell ``watcher`` of every changed row (None: it is gone)."""

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
        """One page. ``where`` compares declared columns (a tuple means any of), ``text`` searches
        the row's JSON without case, ``order`` is a declared column; "" and equal values: in the
        order in which the log made the rows.

        Raises:
            Invalid: an unknown column or a cursor that is not ours.
        """

    def count(
        self, table: Table[Any], *, below: tuple[str, object] | None = None, **where: object
    ) -> int:
        """How many rows have these column values, and (``below``) a smaller value in a column."""

    async def changed(self, *, timeout_s: float) -> bool:
        """Wait for the next change; False when nothing changed in time."""

    def dump(self) -> Mapping[str, Mapping[str, str]]:
        """Every row of every table as JSON, by key."""

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who sent a request: proven by a token, never taken from a body."""

    name: str
    roles: frozenset[str] = frozenset()


class Authenticator(Protocol):
    async def person(self, token: str) -> Person | None:
        """The person a bearer token belongs to, or None."""

    async def people(self, *roles: str) -> Sequence[str]:
        """The names of everyone not revoked, sorted; with roles, of those who have one of them."""


@dataclass(slots=True)
class Term:
    """One term as leader. Set ``ended`` means: stop acting at once."""

    fence: Fence
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def epoch(self) -> int:
        return self.fence.epoch


@dataclass(slots=True, kw_only=True)
class Context:
    """What an instance gets from its host."""

    service: str
    instance: str
    data_dir: str
    port_shift: int
    settings: Any  # infra.settings.Settings
    log: EventLog
    views: Views
    objects: ObjectStore
    clock: Clock
    auth: Authenticator
    capacity: int = 1
    role: str = "standby"  # active | standby
    epoch: int = 0
    ready: bool = False  # the views have caught up once
    problem: str = ""  # why this instance is degraded, in one line
    host_url: Callable[[int], str] = lambda port: f"http://127.0.0.1:{port}"


class Service(Protocol):
    """What an entry point in the group ``phoenix.services`` returns: ``create(ctx) -> Service``."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def tier(self) -> int: ...

    @property
    def features(self) -> Sequence[str]: ...

    @property
    def dependencies(self) -> Sequence[str]: ...

    @property
    def tables(self) -> Sequence[Table[Any]]: ...

    def routes(self) -> Sequence[Any]:
        """Litestar handlers and controllers; UDC, health and metrics are added by the host."""

    def figures(self) -> Mapping[str, object]:
        """The service's own figures for ``/health`` and ``/state``."""

    async def lead(self, term: Term) -> None:
        """Act until ``term.ended``; called once the views have reached the term's start."""


Handler = Callable[..., Awaitable[Any]]
