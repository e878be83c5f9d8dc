"""The event log on JetStream: implements ``infra.ports.EventLog``.

Conditions  checked by the server, on literal subjects only (a version on the event's own subject,
            a fence on ``events.leadership.<service>``); an append of several is one atomic batch.
Repeats     ids are deterministic; after a conflict or a lost answer we look for our own event
            where it would stand and report its position instead of writing it again.
Delivery    ``append`` tries for ``APPEND_TIMEOUT_S``; after that the caller may repeat it safely.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from domain.errors import (
    ConflictError,
    LogRefused,
    PhoenixError,
    PoisonError,
    StaleEpoch,
    TransientError,
)
from domain.event import Event
from domain.recorded import Recorded
from infra import codec
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.fetch import Stored, Stream
from infra.nats.reader import Raw, StreamReader, covers, parse_headers, spanning
from infra.nats.setup import EVENTS
from infra.nats.writer import (
    RUN_MAX,
    Denied,
    Message,
    NoAnswer,
    StreamWriter,
    TooLarge,
    header,
    header_lines,
)
from infra.ports import Append, Batch, Fence, Guard, Meta, Outcome, Write

APPEND_TIMEOUT_S = 10.0
RETRY_S = 0.02
RETRY_S_MAX = 0.5
_BEGINNING = 64  # bytes
OWN_MAX = 2000  # events on their way to the log and back
RUNS = 16  # of ``append_each`` on their way

NOT_WRITTEN = (NoAnswer, Denied, TooLarge, api.NoStream, api.Refused)  # or not for certain
_CONTENT_TYPE = header_lines({"Content-Type": codec.CONTENT_TYPE})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Own:
    """Events that this process appends and follows itself: what comes back is known already.

    Known by subject and body, so what is handed out is what stands in the log.
    """

    def __init__(self) -> None:
        self._followers: set[JetStreamSubscription] = set()
        # By how the body begins: with the event's id.
        self._kept: OrderedDict[bytes, tuple[Message, Event, Meta, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def follow(self, follower: "JetStreamSubscription") -> None:
        self._followers.add(follower)

    def leave(self, follower: "JetStreamSubscription") -> None:
        self._followers.discard(follower)
        if not self._followers:
            self._kept.clear()

    def keep(self, message: Message, event: Event, meta: Meta, epoch: int) -> None:
        """This is about to be appended."""
        for follower in self._followers:
            if follower.wants(type(event), message.subject):
                self._kept[message.payload[:_BEGINNING]] = message, event, meta, epoch
                if len(self._kept) > OWN_MAX:
                    self._kept.popitem(last=False)
                return

    def take(self, raw: Raw, only: Collection[type[Event]] | None) -> Recorded[Event] | None:
        """The event of this message, if it is one of ours and asked for; once."""
        found = self._kept.pop(raw.data[:_BEGINNING], None)
        if found is None:
            return None
        message, event, meta, epoch = found
        if (message.payload, message.subject) != (raw.data, raw.subject):
            return None
        if only is not None and type(event) not in only:
            return None
        return Recorded(
            raw.position,
            event,
            raw.subject,
            message.id,
            meta.actor,
            meta.correlation_id,
            meta.causation_id,
            epoch,
            meta.source or codec.SOURCE,
            meta.traceparent,
        )


class JetStreamLog:
    """Append to, read and follow the stream ``EVENTS`` over one connection."""

    def __init__(
        self, nc: Connection, stream: str = EVENTS, *, writer: StreamWriter | None = None
    ) -> None:
        self.nc = nc
        self.stream = Stream(nc, stream)
        self._writer = writer
        self._starting = asyncio.Lock()
        self.own = _Own()

    async def close(self) -> None:
        """End the writer; the connection is the caller's."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        await self.stream.close()

    async def writer(self) -> StreamWriter:
        """The log's writer, started with the first append."""
        if self._writer is None:
            async with self._starting:
                if self._writer is None:
                    info = await self.stream.info()
                    serial = info["config"].get("num_replicas", 1) > 1
                    self._writer = await StreamWriter(self.nc, serial_guards=serial).start()
        return self._writer

    async def append(
        self, writes: Sequence[Write], *, meta: Meta, fence: Fence | Guard | None = None
    ) -> tuple[int, ...]:
        """See ``infra.ports.EventLog.append``."""
        messages = self.messages(writes, meta, fence)
        writer = self._writer or await self.writer()
        try:
            ack = await writer.send(messages)
        except NOT_WRITTEN as error:
            return await _Append(self, writes, messages, fence).settle(error)
        return tuple(range(ack.first, ack.last + 1))

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        """See ``infra.ports.EventLog.append_each``."""
        writer = self._writer or await self.writer()
        outcomes: list[Outcome] = []
        under_way: deque[_Run] = deque()
        left = iter(appends)
        while run := tuple(islice(left, RUN_MAX)):
            if len(under_way) == RUNS:
                outcomes += await under_way.popleft().outcomes()
            under_way.append(_Run(self, writer, run, fence))
            await asyncio.sleep(0)  # what is made is sent, and answers are read
        for last in under_way:
            outcomes += await last.outcomes()
        return outcomes

    def messages(
        self, writes: Sequence[Write], meta: Meta, fence: Fence | Guard | None
    ) -> list[Message]:
        """One append as the writer takes it.

        Raises:
            ValueError: these conditions do not fit; see ``codec.check``.
        """
        fenced = codec.check(writes, fence)
        epoch = fence.epoch if isinstance(fence, Fence) else 0
        messages = []
        for index, write in enumerate(writes):
            event, expected, guard = write.event, write.expected, ""
            id = codec.event_id(meta.command_id, index, event)
            body = codec.encode(event, id=id, meta=meta, epoch=epoch)
            if fence is not None and index == fenced:
                expected, guard = fence.position, fence.subject
            messages.append(Message(event.subject, body, id, expected, guard, _CONTENT_TYPE))
            self.own.keep(messages[-1], event, meta, epoch)
        return messages

    async def submit(self, body: bytes, *, person: str = "", message_id: str = "") -> int:
        """See ``infra.ports.EventLog.submit``.

        Raises:
            TransientError: no answer in time. Without a message id it may have been accepted.
            LogRefused: too large for the server, or no permission.
        """
        subject = codec.raw_subject(person)
        message = Message(subject, body, header(message_id))
        deadline = _Deadline(APPEND_TIMEOUT_S)
        while True:
            try:
                return (await (await self.writer()).send((message,))).last
            except (Denied, TooLarge) as error:
                raise LogRefused(str(error)) from error
            except NoAnswer as error:
                if not message_id:  # a second copy could not be recognised
                    raise TransientError(f"{subject}: {error}") from error
                await deadline.again(error)
            except api.NoStream as error:
                await deadline.again(error)
            except api.Refused as error:
                if error.code not in api.PASSING:
                    raise LogRefused(f"{subject}: {api.advice(error)}") from error
                await deadline.again(error)

    async def read(
        self, subject: str, *, after: int = 0, limit: int = 10_000
    ) -> list[Recorded[Event]]:
        """The events of one literal subject after a position, oldest first; empty when none."""
        if "*" in subject or ">" in subject:
            raise ValueError(f"{subject} is not a literal subject")
        return [_decoded(stored) for stored in await self.stream.of(subject, after, limit)]

    async def get(self, position: int) -> Recorded[Event] | None:
        """One event by its position."""
        stored = await self.stream.at(position)
        return _decoded(stored) if stored else None

    async def last(self, subject: str) -> Recorded[Event] | None:
        """The newest event of a literal subject, as the stream's leader knows it."""
        stored = await self.stream.last(subject)
        return _decoded(stored) if stored else None

    async def last_position(self) -> int:
        """The position of the newest message of the whole log; 0 when it is empty."""
        return int((await self.stream.info())["state"]["last_seq"])

    def follow(
        self,
        subjects: Sequence[str],
        *,
        after: int = 0,
        batch: int = 500,
        events: Collection[type[Event]] | None = None,
    ) -> "JetStreamSubscription":
        """See ``infra.ports.EventLog.follow``."""
        return JetStreamSubscription(self, subjects, after, batch, events)


class _Run:
    """Some of the appends of one ``append_each``, on their way."""

    def __init__(
        self,
        log: JetStreamLog,
        writer: StreamWriter,
        appends: Sequence[Append],
        fence: Fence | None,
    ) -> None:
        self._log = log
        self._appends = appends
        self._fence = fence
        self._groups = [log.messages(writes, meta, fence) for writes, meta in appends]
        self._answer = writer.send_each(self._groups)

    async def outcomes(self) -> list[Outcome]:
        """Each one's positions or error, once all are known."""
        firsts = await self._answer
        found: list[Outcome] = []
        failed: dict[int, Exception] = {}
        for index, (first, messages) in enumerate(zip(firsts, self._groups, strict=True)):
            if isinstance(first, int):
                found.append(
                    (first,) if len(messages) == 1 else tuple(range(first, first + len(messages)))
                )
            else:
                failed[index] = first
                found.append(())
        if failed:
            settled = await asyncio.gather(*(self._settle(i, e) for i, e in failed.items()))
            for index, outcome in zip(failed, settled, strict=True):
                found[index] = outcome
        return found

    async def _settle(self, index: int, error: Exception) -> Outcome:
        writes, messages = self._appends[index][0], self._groups[index]
        try:
            return await _Append(self._log, writes, messages, self._fence).settle(error)
        except PhoenixError as why:
            return why


class _Append:
    """An append whose first attempt did not simply succeed, up to its positions."""

    def __init__(
        self,
        log: JetStreamLog,
        writes: Sequence[Write],
        messages: Sequence[Message],
        fence: Fence | Guard | None,
    ) -> None:
        self._log = log
        self._writes = writes
        self._messages = messages
        self._fence = fence
        self._deadline = _Deadline(APPEND_TIMEOUT_S)

    async def settle(self, error: Exception) -> tuple[int, ...]:
        """Find out what happened, try again while that can help, and return the positions."""
        while True:
            found = await self._after(error)
            if found:
                return found
            try:
                ack = await (await self._log.writer()).send(self._messages)
                return tuple(range(ack.first, ack.last + 1))
            except NOT_WRITTEN as again:
                error = again

    async def _after(self, error: Exception) -> tuple[int, ...] | None:
        """Return the positions if it stands already, None to try again; else say why not."""
        if isinstance(error, api.Refused):
            return await self._after_refusal(error)
        if isinstance(error, (Denied, TooLarge)):
            raise LogRefused(str(error)) from error
        await self._deadline.again(error)
        if isinstance(error, api.NoStream) or self._recognised:
            return None
        return await self._already()

    @property
    def _recognised(self) -> bool:
        """Whether the server itself answers a repeat with the first one's position."""
        return len(self._messages) == 1 and self._messages[0].expected is None

    async def _after_refusal(self, error: api.Refused) -> tuple[int, ...] | None:
        if error.code in api.PASSING:
            await self._deadline.again(error)
            return None
        subject = self._messages[0].subject
        if error.code not in (api.CONFLICT, api.IN_FLIGHT, api.DUPLICATE_IN_BATCH):
            raise LogRefused(f"{subject}: {api.advice(error)}") from error
        repeated = error.code == api.DUPLICATE_IN_BATCH
        found = await self._already(anywhere=repeated)
        if found:
            return found
        if repeated:
            raise LogRefused(
                f"{self._messages[0].subject}: an event with this id exists"
            ) from error
        await self._explain(error)
        # Every condition holds: a write to one of the subjects was in flight.
        await self._deadline.again(error)
        return None

    async def _already(self, *, anywhere: bool = False) -> tuple[int, ...] | None:
        """Return the positions of this very append if it has been written before.

        The first event stands where its own condition puts it: right after the expected
        version, or after the fence. The rest follows it, because an append is written whole.
        """
        stream, id = self._log.stream, self._messages[0].id
        subject, expected = self._messages[0].subject, self._writes[0].expected
        after, limit = 0, 10_000
        if expected is not None:
            after, limit = expected, 1
        elif self._fence is not None and not anywhere:
            after = self._fence.position
        for stored in await stream.of(subject, after, limit, exact=True):
            if codec.stored_id(stored.subject, stored.data) == id:
                return await self._whole(stored.position)
        return None

    async def _whole(self, first: int) -> tuple[int, ...]:
        """The positions of an append whose first event stands at ``first``.

        Raises:
            LogRefused: the rest is missing: the server (seen with 2.15.1) can run out of room in
                the middle of a batch, keeps what it has and answers nothing.
        """
        message = self._messages[-1]
        position = first + len(self._messages) - 1
        last = await self._log.stream.of(message.subject, position - 1, 1, exact=True)
        if not last or codec.stored_id(last[0].subject, last[0].data) != message.id:
            raise LogRefused(
                f"{message.subject}: only a part of this append was written, from position {first}"
                f" on: {api.NO_ROOM_ADVICE}"
            )
        return tuple(range(first, position + 1))

    async def _explain(self, cause: api.Refused) -> None:
        """Raise the condition that does not hold; return when all of them do.

        Raises:
            StaleEpoch: a newer leader has taken over.
            ConflictError: a subject has moved on.
        """
        stream = self._log.stream
        if self._fence is not None:
            found = await stream.last(self._fence.subject)
            position = found.position if found else 0
            if position != self._fence.position:
                raise _moved_on(self._fence, found, position) from cause
        for write in self._writes:
            if write.expected is None:
                continue
            subject = write.event.subject
            found = await stream.last(subject)
            position = found.position if found else 0
            if position != write.expected:
                raise ConflictError(subject, expected=write.expected, found=position) from cause


class JetStreamSubscription:
    """Implements ``infra.ports.Subscription``: batches as soon as there is anything.

    The server is asked with one filter that spans all subjects, and what lies between them is left
    out here: with several filters it looks for each message among all subjects of a block (30
    times its CPU on a backlog, seen with 2.15.1).
    """

    def __init__(
        self,
        log: JetStreamLog,
        subjects: Sequence[str],
        after: int,
        batch: int,
        events: Collection[type[Event]] | None,
    ) -> None:
        self._log = log
        self._events = events
        self._limit = batch
        self._wanted = _Wanted(subjects)
        self._reader = StreamReader(log.nc, log.stream.name, [spanning(subjects)], after=after)
        self._started = False
        self._waiting = False  # the caller has dealt with all it was given and wants more
        self._given = after  # last position handed out
        self._done = after  # last position the caller has dealt with
        self._poison: PoisonError | None = None

    def __aiter__(self) -> "JetStreamSubscription":
        return self

    async def __anext__(self) -> Batch:
        if self._poison is not None:
            raise self._poison
        if not self._started:
            self._started = True
            self._log.own.follow(self)
            self._reader.start()
        self._waiting = True
        self._done = self._given
        raws = await self._reader.next(self._limit)
        self._waiting = False
        before = self._given
        events = self._decode(raws)
        if self._poison is not None and self._given == before:
            raise self._poison
        return Batch(events, self._given, self._reader.pending)

    def _decode(self, raws: list[Raw]) -> list[Recorded[Event]]:
        """What is asked for and can be read, up to the first message that cannot."""
        events: list[Recorded[Event]] = []
        wanted, only = self._wanted, self._events
        own = self._log.own
        some_own = bool(own)  # while this lasts: nothing is appended meanwhile
        try:
            for raw in raws:
                position, subject, data, _, _ = raw
                if subject in wanted:
                    recorded = own.take(raw, only) if some_own else None
                    if recorded is None and subject.startswith(codec.RAW_PREFIX):
                        recorded = _raw_intent(raw, only)
                    elif recorded is None:
                        recorded = codec.decode_stored(subject, data, position, only)
                    if recorded is not None:
                        events.append(recorded)
                self._given = position
        except PoisonError as error:
            self._poison = error
        return events

    async def horizon(self) -> int:
        """See ``infra.ports.Subscription.horizon``; one or two requests to the server."""
        last = await self._log.last_position()  # first: what comes later must not count
        if not self._idle():
            return self._done
        everything = await self._reader.delivered_all()
        if everything and self._idle():
            return max(last, self._given)
        return self._done

    def wants(self, kind: type[Event], subject: str) -> bool:
        """Whether it hands out such events on this subject."""
        return (self._events is None or kind in self._events) and subject in self._wanted

    def _idle(self) -> bool:
        return self._waiting and self._reader.empty and self._poison is None

    async def close(self) -> None:
        """End the subscription on the server."""
        self._log.own.leave(self)
        await self._reader.close()


class _Wanted:
    """The literal subjects that some patterns match; asked for every message."""

    def __init__(self, patterns: Sequence[str]) -> None:
        below = [p[:-1] for p in patterns if p.endswith(".>") and "*" not in p]
        self._prefixes = tuple(below)
        self._others = [p for p in patterns if p[:-1] not in below]

    def __contains__(self, subject: str) -> bool:
        return subject.startswith(self._prefixes) or any(
            covers(pattern, subject) for pattern in self._others
        )


class _Deadline:
    """Waits between attempts, growing, until the time is up."""

    def __init__(self, timeout_s: float) -> None:
        self._ends = asyncio.get_running_loop().time() + timeout_s
        self._delay_s = RETRY_S

    async def again(self, error: Exception) -> None:
        """Wait a little before the next attempt.

        Raises:
            TransientError: no time is left.
        """
        if asyncio.get_running_loop().time() + self._delay_s > self._ends:
            why = "no stream takes it, or JetStream is not ready" if not str(error) else str(error)
            raise TransientError(f"the log did not accept it in time: {why}") from error
        await asyncio.sleep(self._delay_s)
        self._delay_s = min(self._delay_s * 2, RETRY_S_MAX)


def _decoded(stored: Stored) -> Recorded[Event]:
    return codec.decode(
        stored.subject,
        stored.data,
        position=stored.position,
        time=stored.time,
        headers=stored.headers,
    )


def _raw_intent(raw: Raw, only: Collection[type[Event]] | None) -> Recorded[Event] | None:
    return codec.decode(
        raw.subject,
        raw.data,
        position=raw.position,
        time=_EPOCH + timedelta(microseconds=raw.time_ns // 1000),
        headers=parse_headers(raw.headers),
        only=only,
    )


def _moved_on(fence: Fence | Guard, found: Stored | None, position: int) -> PhoenixError:
    """What it means that the subject of a fence or guard does not stand where it should."""
    if isinstance(fence, Guard):
        return ConflictError(fence.subject, expected=fence.position, found=position)
    return StaleEpoch(given=fence.epoch, current=_epoch_of(found))


def _epoch_of(found: Stored | None) -> int | None:
    if found is None:
        return None
    epoch = getattr(_decoded(found).event, "epoch", None)
    return epoch if isinstance(epoch, int) else None
