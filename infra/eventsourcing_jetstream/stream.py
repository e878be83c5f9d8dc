"""One stream of an application: created when missing, written by one writer, read back exactly.

Everything here runs on the hub's loop. Writing is all or nothing, with a condition on a literal
subject for each originator; a lost answer is settled by looking for our own message.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from domain.errors import LogRefused, TransientError
from infra.eventsourcing_jetstream import codec
from infra.eventsourcing_jetstream.hub import Lease, Quick
from infra.eventsourcing_jetstream.names import KEYS, TRACKING, Names
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.fetch import Stored, Stream
from infra.nats.writer import Ack, Denied, Message, NoAnswer, StreamWriter, TooLarge

NAME_IN_USE = 10058
BATCH_TOO_LARGE = 10199
CONFLICTS = (api.CONFLICT, api.IN_FLIGHT)
BATCH_MAX = 100_000  # messages; the server's own limit is usually lower
RETRY_S = 0.01
RETRY_S_MAX = 0.5

# After these it is not known whether the messages were written.
UNKNOWN = (NoAnswer, api.NoStream, TransientError)

T = TypeVar("T")
Make = Callable[[bool], Awaitable[Sequence[Message]]]


class Conflict(Exception):
    """A condition does not hold; the caller looks which."""


class _Opened:
    """What is to be closed. It does not know the lease, which may be collected at any time."""

    def __init__(self) -> None:
        self.closed = False
        self.parts: tuple[Connection, Stream, StreamWriter] | None = None

    async def close(self) -> None:
        self.closed = True
        if self.parts is not None:
            _, stream, writer = self.parts
            self.parts = None
            await writer.close()
            await stream.close()


class AppStream:
    """Opened by the first call; ``create`` False takes the stream as somebody else made it."""

    def __init__(self, lease: Lease, names: Names, *, replicas: int, create: bool) -> None:
        self.names = names
        self.lease = lease
        self.source = f"/es/{names.application}"
        self.timeout_s = lease.hub.target.timeout_s
        self._replicas = replicas
        self._create = create
        self._opening = asyncio.Lock()
        self._opened = _Opened()
        lease.closing.append(self._opened.close)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the hub's loop; see ``Hub.call``."""
        return self.lease.call(work)

    def quick(self, work: Quick[T]) -> T:
        """Do it on the hub's loop; see ``Hub.quick``."""
        return self.lease.quick(work)

    async def open(self) -> tuple[Connection, Stream, StreamWriter]:
        """The connection, the stream's reader and its writer.

        Raises:
            TransientError: the server is away.
            LogRefused: it will not have this stream.
            InterfaceError: closed.
            ProgrammingError: the stream exists with settings that cannot work.
        """
        if self._opened.parts is not None:
            return self._opened.parts
        async with self._opening:
            if self._opened.closed:
                raise InterfaceError("closed: make a new application or factory")
            if self._opened.parts is None:
                nc = await self.lease.hub.connection()
                replicas = await self._ensure(nc)
                writer = StreamWriter(nc, serial_guards=replicas > 1, batch_max=BATCH_MAX)
                self._opened.parts = nc, Stream(nc, self.names.stream), await writer.start()
            return self._opened.parts

    async def reader(self) -> Stream:
        """For reads by position and subject; raises what ``open`` raises."""
        return (await self.open())[1]

    async def last(self, subject: str) -> Stored | None:
        """The newest message of a subject or a pattern, as the leader has it."""
        return await (await self.reader()).last(subject)

    def send(self, messages: Sequence[Message]) -> "asyncio.Future[Ack] | None":
        """Send at once; None where that must wait: not opened yet, or too large, or replicas let
        one write a subject be in flight. An error in the answer goes to ``write``.
        """
        if self._opened.parts is None:
            return None
        _, _, writer = self._opened.parts
        if writer.serial_guards:
            return None
        with contextlib.suppress(TooLarge):
            return writer.send(messages)
        return None

    async def write(
        self, make: Make, first_id: str, failed: tuple[Sequence[Message], Exception] | None = None
    ) -> int:
        """Write all or nothing and return the position of the first message.

        ``make(again)`` builds the messages with conditions that hold as far as is known, asks
        the server if it is called again, and raises ``IntegrityError`` when they cannot hold.
        ``first_id`` is the id in the first message's body. ``failed``: what ``send`` sent, and
        the error that came back.

        Raises:
            OperationalError: no answer in time (perhaps written), or the server refuses.
            DataError: a message is larger than the server takes.
            NotSupportedError: more messages than the server takes in one batch.
        """
        loop = asyncio.get_running_loop()
        ends, delay_s = loop.time() + self.timeout_s, RETRY_S
        sent: Sequence[Message] = ()
        error: Exception | None = None
        again = False
        if failed is not None:
            sent, error = failed[0], self._named(failed[1], len(failed[0]))
        while True:
            if error is None:
                try:
                    sent = await make(again)
                    return await self._send(sent)
                except (IntegrityError, Conflict, *UNKNOWN) as caught:
                    error = caught
            if not isinstance(error, (IntegrityError, Conflict, *UNKNOWN)):
                raise error
            if sent and (position := await self._already(sent, first_id)):
                return position
            if isinstance(error, IntegrityError):
                raise error
            if loop.time() + delay_s > ends:
                raise OperationalError(f"{self.names.stream}: {_why(error)}") from error
            again, unknown, error = True, isinstance(error, UNKNOWN), None
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX) if unknown else RETRY_S

    async def _send(self, messages: Sequence[Message]) -> int:
        _, _, writer = await self.open()
        try:
            async with asyncio.timeout(self.timeout_s):  # also for its turn
                return (await writer.publish(messages)).first
        except TimeoutError:
            raise NoAnswer("the writer had no turn in time") from None
        except TooLarge as error:
            raise DataError(str(error)) from error
        except (Denied, api.Refused) as error:
            raise self._named(error, len(messages)) from error

    def _named(self, error: Exception, count: int) -> Exception:
        """The library's error for the writer's; those that a further look may mend as they are."""
        if isinstance(error, Denied):
            return OperationalError(str(error))
        if isinstance(error, api.Refused):
            return _translated(error, count, self.names.stream)
        return error

    async def _already(self, sent: Sequence[Message], id: str) -> int:
        """The position of our own first message if it stands where its condition puts it, or 0.

        Raises:
            OperationalError: it does, but the last one is missing: the server ran out of room.
        """
        message = sent[0]
        try:
            stream = await self.reader()
            found = await stream.of(message.subject, message.expected or 0, 1, exact=True)
            if not found or codec.message_id(found[0].data) != id:
                return 0
            position = found[0].position
            end = position + len(sent) - 2  # the last one comes after this
            last = await stream.of(sent[-1].subject, end, 1, exact=True)
        except TransientError:
            return 0  # not known yet: the next attempt finds out
        if not last or last[0].data != sent[-1].payload:
            raise OperationalError(
                f"{self.names.stream}: only a part of this insert was written, from position"
                f" {position} on: {api.NO_ROOM_ADVICE}"
            )
        return position

    async def _ensure(self, nc: Connection) -> int:
        """Make the stream if it is missing; return its number of replicas."""
        config = stream_config(self.names, self._replicas)
        name = config["name"]
        try:
            try:
                present = (await api.call(nc, f"STREAM.INFO.{name}"))["config"]
            except api.Refused as error:
                if error.code != api.NO_SUCH_STREAM or not self._create:
                    raise
                present = await _created(nc, config)
            if present.get("num_replicas", 1) < self._replicas and self._create:
                raised = {**present, "num_replicas": self._replicas}
                present = (await api.call(nc, f"STREAM.UPDATE.{name}", raised))["config"]
        except api.Refused as error:
            if error.code in api.PASSING:
                raise TransientError(str(error)) from error
            if error.code == api.NO_SUCH_STREAM:
                raise LogRefused(
                    f"the stream {name} does not exist and CREATE_TABLE is no: make it with"
                    " allow_atomic and allow_direct, or let the recorder make it"
                ) from error
            raise LogRefused(f"the stream {name}: {error}") from error
        if not (present.get("allow_atomic") and present.get("allow_direct")):
            raise ProgrammingError(f"the stream {name} needs allow_atomic and allow_direct")
        return int(present.get("num_replicas", 1))


def stream_config(names: Names, replicas: int) -> dict[str, Any]:
    return {
        "name": names.stream,
        "subjects": names.subjects,
        "description": f"{names.purpose} of the application {names.application}",
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": replicas,
        # A view's positions and values are its present state; everything else is history.
        "max_msgs_per_subject": 1 if names.purpose == TRACKING else -1,
        "allow_direct": True,
        "allow_atomic": True,
        "deny_delete": names.purpose != KEYS,  # a key that is dropped goes for ever
        "deny_purge": names.purpose != KEYS,
    }


async def _created(nc: Connection, config: dict[str, Any]) -> dict[str, Any]:
    name = config["name"]
    try:
        found = await api.call(nc, f"STREAM.CREATE.{name}", config)
    except api.Refused as error:
        if error.code != NAME_IN_USE:  # another process was quicker
            raise
        found = await api.call(nc, f"STREAM.INFO.{name}")
    return dict(found["config"])


def _translated(error: api.Refused, count: int, stream: str) -> Exception:
    if error.code in CONFLICTS:
        return Conflict()
    if error.code in api.PASSING:
        return NoAnswer(str(error))
    if error.code == BATCH_TOO_LARGE:
        return NotSupportedError(
            f"{stream}: {count} messages in one insert; raise the server's"
            " jetstream { limits { batch { max_msgs } } }"
        )
    return OperationalError(f"{stream}: {api.advice(error)}")


def _why(error: Exception) -> str:
    if isinstance(error, api.NoStream):
        return "no stream takes it, or JetStream is not ready"
    if isinstance(error, Conflict):
        return "other writers were quicker each time"
    return f"{error}; it may have been recorded"
