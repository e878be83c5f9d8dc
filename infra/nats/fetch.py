"""Stored messages by position or subject: single ones from the stream's leader, runs in one go.

A direct get is quick, but a replica may answer with what it knows so far; where a decision hangs
on it (``exact``), and always on several replicas, the leader confirms the end.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from nats.aio.subscription import Subscription

from domain.errors import LogRefused, TransientError
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.reader import parse_headers

T = TypeVar("T")

FETCH_TIMEOUT_S = 1.0  # a request that went to a dying server is never answered,
FETCH_TRIES = 5  # so ask again: reading twice harms nobody
PAUSE_S = 0.1
FETCH_MAX = 1000  # messages in one request


class Stored(NamedTuple):
    """``block`` is the header block as sent, ``stamp`` the server's time as text."""

    position: int
    subject: str
    data: bytes
    block: bytes | None
    stamp: str

    @property
    def headers(self) -> dict[str, str]:
        return parse_headers(self.block)

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.stamp)


class _Fetch(Generic[T]):
    """The messages of one request, made into something as they come in: the server sends on
    meanwhile.
    """

    def __init__(self, make: Callable[[Stored], T]) -> None:
        self.found: list[T] = []
        self.last = 0  # position
        self._make = make
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes, block: bytes | None) -> None:
        position = _field(block, b"\r\nNats-Sequence: ")
        if position:
            subject = _field(block, b"\r\nNats-Subject: ").decode()
            stamp = _field(block, b"\r\nNats-Time-Stamp: ").decode()
            self.last = int(position)
            try:
                self.found.append(self._make(Stored(self.last, subject, data, block, stamp)))
            except Exception as error:  # the caller's, not the connection's
                self._fail(error)
            return
        if self.done.done():
            return
        status = (block or b"")[9:12]
        if status in (b"204", b"404"):  # the end of this run; no such message
            self.done.set_result(int(_field(block, b"\r\nNats-Num-Pending: ") or 0))
        else:
            text = (block or b"").split(b"\r\n")[0].decode(errors="replace")
            self._fail(TransientError(f"direct get: {text}"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def _as_stored(stored: Stored) -> Stored:
    return stored


def _field(block: bytes | None, name: bytes) -> bytes:
    """What the server says under this name, after all that the message had; empty without."""
    start = block.rfind(name) if block else -1
    if block is None or start < 0:
        return b""
    start += len(name)
    return block[start : block.index(b"\r\n", start)]


class Stream:
    """Reads of one stream. Every call may raise ``TransientError`` (no answer in time) and
    ``LogRefused`` (no such stream, no permission)."""

    def __init__(self, nc: Connection, name: str) -> None:
        self.name = name
        self.replicated: bool | None = None  # not known yet
        self._nc = nc
        self._fetches: dict[int, _Fetch[Any]] = {}
        self._number = 0
        self._inbox: Subscription | None = None
        self._prefix = ""
        self._starting = asyncio.Lock()

    async def info(self) -> dict[str, Any]:
        """The stream's configuration and state."""
        answer = await self._call(f"STREAM.INFO.{self.name}") or {}
        self.replicated = answer["config"].get("num_replicas", 1) > 1
        return answer

    async def at(self, position: int) -> Stored | None:
        """The message at a position."""
        return await self._message({"seq": position}) if position > 0 else None

    async def last(self, subject: str) -> Stored | None:
        """The newest message of a literal subject."""
        return await self._message({"last_by_subj": subject})

    async def of(
        self, subject: str, after: int, limit: int, *, exact: bool = False
    ) -> list[Stored]:
        """The messages of a literal subject after a position, oldest first."""
        if exact and limit == 1:
            return await self._steps(subject, after, 1)
        return await self.each(subject, after, limit, _as_stored)

    async def each(
        self, subject: str, after: int, limit: int, make: Callable[[Stored], T]
    ) -> list[T]:
        """As ``of``, with something made of each message as it arrives."""
        found: list[T] = []
        pending = 1
        while pending and len(found) < limit:
            count = min(FETCH_MAX, limit - len(found))
            wanted = {"next_by_subj": subject, "seq": after + 1, "batch": count}
            fetch, pending = await self._direct(wanted, subject, make)
            if not fetch.found:
                break
            found += fetch.found
            after = fetch.last
        if self.replicated is None:
            await self.info()
        if self.replicated and len(found) < limit:
            found += [make(each) for each in await self._steps(subject, after, limit - len(found))]
        return found

    async def last_of_each(self, pattern: str) -> list[Stored]:
        """The newest message of every subject that matches, as of one moment (at most 1024)."""
        fetch, _ = await self._direct({"multi_last": [pattern]}, pattern, _as_stored)
        return fetch.found

    async def _direct(
        self, wanted: dict[str, Any], what: str, make: Callable[[Stored], T]
    ) -> tuple[_Fetch[T], int]:
        """The messages of one direct get, and how many more there are."""
        await self._listen()
        for _ in range(FETCH_TRIES - 1):
            with contextlib.suppress(TransientError):
                return await self._direct_once(wanted, what, make)
            await asyncio.sleep(PAUSE_S)
        return await self._direct_once(wanted, what, make)

    async def _direct_once(
        self, wanted: dict[str, Any], what: str, make: Callable[[Stored], T]
    ) -> tuple[_Fetch[T], int]:
        self._number += 1
        number, fetch = self._number, _Fetch(make)
        self._fetches[number] = fetch
        body = orjson.dumps(wanted)
        line = f"PUB $JS.API.DIRECT.GET.{self.name} {self._prefix}{number} {len(body)}\r\n"
        try:
            self._nc.push(line.encode() + body + b"\r\n")
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                pending = await fetch.done
        except TimeoutError as error:
            raise TransientError(f"{what}: no answer to a direct get") from error
        finally:
            del self._fetches[number]
        return fetch, pending

    async def _steps(self, subject: str, after: int, limit: int) -> list[Stored]:
        """One by one, as the leader has them."""
        found: list[Stored] = []
        while len(found) < limit:
            start = (found[-1].position if found else after) + 1
            stored = await self._message({"seq": start, "next_by_subj": subject})
            if stored is None:
                break
            found.append(stored)
        return found

    async def _message(self, wanted: dict[str, Any]) -> Stored | None:
        answer = await self._call(f"STREAM.MSG.GET.{self.name}", wanted)
        if answer is None:
            return None
        message = answer["message"]
        block = base64.b64decode(message["hdrs"]) if "hdrs" in message else None
        return Stored(
            position=message["seq"],
            subject=message["subject"],
            data=base64.b64decode(message.get("data", "")),
            block=block,
            stamp=message["time"],
        )

    async def _call(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        try:
            for _ in range(FETCH_TRIES - 1):
                with contextlib.suppress(TransientError):
                    return await api.call(self._nc, name, body, timeout_s=FETCH_TIMEOUT_S)
                await asyncio.sleep(PAUSE_S)
            return await api.call(self._nc, name, body, timeout_s=FETCH_TIMEOUT_S)
        except api.Refused as error:
            if error.code == api.NO_MESSAGE:
                return None
            if error.code == api.NO_SUCH_STREAM:
                raise LogRefused(
                    f"the stream {self.name} does not exist: `phoenix up` creates it"
                ) from error
            if error.code in api.PASSING:
                raise TransientError(str(error)) from error
            raise LogRefused(f"{name}: {error}") from error

    async def _listen(self) -> None:
        async with self._starting:
            if self._inbox is None:
                inbox = self._nc.new_inbox()
                self._prefix = f"{inbox}."
                self._inbox = await self._nc.tap(f"{inbox}.*", self._arrived)

    def _arrived(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        fetch = self._fetches.get(int(subject[len(self._prefix) :]))
        if fetch is not None:
            fetch.take(data, headers)

    async def close(self) -> None:
        """Stop listening for direct gets."""
        if self._inbox is not None:
            inbox, self._inbox = self._inbox, None
            await self._nc.untap(inbox)
