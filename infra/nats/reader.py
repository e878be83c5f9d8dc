"""The one way to read a stream as it grows: every matching message once, in order, without gaps.

A push consumer without acknowledgements, the quickest way out of the server. Each delivery names
its number; a missing number, a missed heartbeat or a reconnect means: ask for a new consumer that
starts after the last message received. Flow control answers only when the buffer is nearly empty,
so a slow reader slows the server and memory stays flat.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import structlog

from domain.errors import LogRefused, TransientError
from infra.nats import api
from infra.nats.connection import Connection

HEARTBEAT_S = 1.0
SILENCE_S = 2.6  # two heartbeats missed
READS_MAX = 16  # from the socket between two batches of a backlog, 256 KiB each
GATHER_S = 0.003  # far behind: a moment longer for a fuller batch
LOW_WATER = 2000  # messages in the buffer below which more may come
RETRY_S_MAX = 1.0
CREATE_S = 1.0  # a request that went to a dying server is not answered

_tuple = tuple.__new__

log = structlog.get_logger(__name__)


class Raw(NamedTuple):
    """A stored message. ``headers`` is the block as sent, None without any."""

    position: int
    subject: str
    data: bytes
    headers: bytes | None
    time_ns: int


class StreamReader:
    """Messages of ``stream`` on ``subjects`` after a position; call ``start`` first."""

    def __init__(
        self,
        nc: Connection,
        stream: str,
        subjects: Sequence[str],
        *,
        after: int = 0,
        last_per_subject: bool = False,
    ) -> None:
        self.received = after  # position of the newest message that has arrived
        self._nc = nc
        self._stream = stream
        self._subjects = without_covered(subjects)
        self._last_per_subject = last_per_subject
        self._buffer: deque[Raw] = deque()
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._consumer = ""
        self._consumer_seq = 0
        self._pending: bytes = b"0"
        self._flow_reply = b""
        self._heard = 0.0
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> "StreamReader":
        self._clock = asyncio.get_running_loop().time
        self._nc.on_reconnect.append(self._broken.set)
        self._task = asyncio.create_task(self._run(), name=f"read-{self._stream}")
        return self

    async def close(self) -> None:
        """Stop; whoever waits in ``next`` is cancelled by its own side."""
        if self._task is not None:
            self._nc.on_reconnect.remove(self._broken.set)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @property
    def pending(self) -> int:
        """How many more messages match, as of the newest one received, plus those buffered."""
        return int(self._pending) + len(self._buffer)

    @property
    def empty(self) -> bool:
        return not self._buffer

    async def next(self, limit: int) -> list[Raw]:
        """Return one to ``limit`` messages as soon as there is one; a cancelled call loses none.

        Raises:
            LogRefused: the server will not serve these subjects (no stream, no permission).
        """
        while not self._buffer:
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()
        buffer = self._buffer
        if int(self._pending) >= limit:
            await self._far_behind(limit)
        if len(buffer) <= limit:
            taken = list(buffer)
            buffer.clear()
        else:
            taken = [buffer.popleft() for _ in range(limit)]
        self._let_flow()
        return taken

    async def _far_behind(self, limit: int) -> None:
        """Let the connection read on: whoever works through a backlog would never let go, and
        the server's answer to our ping lies behind what it has sent (no answer: reconnect).
        """
        if len(self._buffer) < limit:
            await asyncio.sleep(GATHER_S)
        for _ in range(READS_MAX):
            before = len(self._buffer)
            await asyncio.sleep(0)
            if len(self._buffer) == before:
                return

    async def delivered_all(self) -> bool:
        """Whether everything that matched when this was called has arrived here.

        Raises:
            TransientError: no answer.
        """
        consumer = self._consumer
        if not consumer:
            return False
        try:
            info = await api.call(self._nc, f"CONSUMER.INFO.{self._stream}.{consumer}")
        except api.Refused:
            return False  # it has just been replaced
        return (
            consumer == self._consumer
            and info["num_pending"] == 0
            and info["delivered"]["consumer_seq"] <= self._consumer_seq
        )

    async def _run(self) -> None:
        delay_s = 0.05
        while True:
            try:
                await self._session()
                delay_s = 0.05
                continue
            except LogRefused as error:
                self._error = error
                self._ready.set()
                return
            except TransientError as error:
                log.debug("reader_waits", stream=self._stream, error=str(error))
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _session(self) -> None:
        """One consumer, from its creation until something is missing."""
        loop = asyncio.get_running_loop()
        self._broken.clear()
        inbox = self._nc.new_inbox()
        name = inbox.rsplit(".", 1)[-1]
        self._consumer_seq = 0
        subscription = await self._nc.tap(inbox, self._arrived)
        try:
            await self._create(name, inbox)
            self._consumer = name
            self._heard = loop.time()
            while not self._broken.is_set():
                silent_for = loop.time() - self._heard
                if silent_for >= SILENCE_S:
                    log.info("reader_silent", stream=self._stream, after=self.received)
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SILENCE_S - silent_for):
                        await self._broken.wait()
        finally:
            self._consumer = ""
            self._flow_reply = b""
            await self._nc.untap(subscription)
            self._drop(name)

    async def _create(self, name: str, inbox: str) -> None:
        config: dict[str, Any] = {
            "name": name,
            "deliver_subject": inbox,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": self._subjects,
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "idle_heartbeat": int(HEARTBEAT_S * 1_000_000_000),
            "flow_control": True,
            "inactive_threshold": 5_000_000_000,
        }
        if self._last_per_subject and not self.received:
            config["deliver_policy"] = "last_per_subject"
        else:
            config["deliver_policy"] = "by_start_sequence"
            config["opt_start_seq"] = self.received + 1
        request = {"stream_name": self._stream, "config": config, "action": "create"}
        try:
            answer = await api.call(
                self._nc, f"CONSUMER.CREATE.{self._stream}.{name}", request, timeout_s=CREATE_S
            )
        except api.Refused as error:
            if error.code in api.PASSING:
                raise TransientError(str(error)) from error
            raise LogRefused(f"cannot read {self._stream}: {error}") from error
        if not self._consumer_seq:  # nothing has arrived before this answer
            self._pending = str(answer["num_pending"]).encode()

    def _drop(self, name: str) -> None:
        """Ask for the consumer's removal without waiting; the server forgets it in 5 s anyway."""
        self._nc.push(f"PUB $JS.API.CONSUMER.DELETE.{self._stream}.{name}  0\r\n\r\n".encode())

    def _arrived(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self._heard = self._clock()
        # $JS.ACK.<stream>.<consumer>.<delivered>.<position>.<number>.<time>.<pending>, or with
        # <domain>.<account> after ACK and a token at the end.
        parts = reply.split(b".")
        if len(parts) < 9 or parts[1] != b"ACK":
            self._control(reply, headers or b"")
            return
        if len(parts) > 9:
            parts = parts[2:]
        number = int(parts[6])
        if number != self._consumer_seq + 1:
            if not self._broken.is_set():
                log.warning("reader_gap", stream=self._stream, after=self.received)
                self._broken.set()
            return
        self._consumer_seq = number
        self._pending = parts[8]
        self.received = position = int(parts[5])
        raw = position, subject.decode(), data, headers, int(parts[7])
        self._buffer.append(_tuple(Raw, raw))  # in half the time of a named tuple's own __new__
        if not self._ready.is_set():
            self._ready.set()

    def _control(self, reply: bytes, headers: bytes) -> None:
        fields = parse_headers(headers)
        if reply:  # flow control asks whether we keep up
            self._flow_reply = reply
        elif "Nats-Consumer-Stalled" in fields:
            self._flow_reply = fields["Nats-Consumer-Stalled"].encode()
        if int(fields.get("Nats-Last-Consumer", "0")) > self._consumer_seq:
            self._broken.set()  # the server has sent more than has arrived
        self._let_flow()

    def _let_flow(self) -> None:
        if self._flow_reply and len(self._buffer) < LOW_WATER:
            self._nc.push(b"PUB " + self._flow_reply + b"  0\r\n\r\n")
            self._flow_reply = b""


def parse_headers(block: bytes | None) -> dict[str, str]:
    """Return a header block's fields; empty for None."""
    if not block:
        return {}
    fields: dict[str, str] = {}
    for line in block.decode(errors="replace").split("\r\n")[1:]:
        name, found, value = line.partition(":")
        if found:
            fields.setdefault(name, value.strip())
    return fields


def without_covered(subjects: Iterable[str]) -> list[str]:
    """The subjects that no other one of them includes: a consumer's filters may not overlap."""
    wanted = sorted(set(subjects))
    return [s for s in wanted if not any(o != s and covers(o, s) for o in wanted)]


def spanning(subjects: Sequence[str]) -> str:
    """The narrowest single filter that includes all of these; with one subject, that one."""
    every = without_covered(subjects)
    if len(every) == 1:
        return every[0]
    common: list[str] = []
    # Without its last part: ``>`` stands for at least one.
    for parts in zip(*(subject.split(".")[:-1] for subject in every), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join((*common, ">"))


def covers(pattern: str, subject: str) -> bool:
    """Whether every subject that ``subject`` (wildcards allowed) matches matches ``pattern``."""
    parts, others = pattern.split("."), subject.split(".")
    for index, part in enumerate(parts):
        if part == ">":
            return len(others) > index
        if index >= len(others) or others[index] == ">":
            return False
        if part != "*" and part != others[index]:
            return False
    return len(parts) == len(others)
