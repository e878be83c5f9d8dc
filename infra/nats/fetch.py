"""Stored messages by position or subject: single ones from the stream's leader, runs in one go.

A direct get is quick, but a replica may answer with what it knows so far; where a decision hangs
on it (``exact``), and always on several replicas, the leader confirms the end.
"""

import asyncio
import base64
import contextlib
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from nats.aio.subscription import Subscription

from domain.errors import LogRefused, TransientError
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.reader import parse_headers

FETCH_TIMEOUT_S = 1.0  # a request that went to a dying server is never answered,
FETCH_TRIES = 5  # so ask again: reading twice harms nobody
PAUSE_S = 0.1
FETCH_MAX = 1000  # messages in one request


class Stored(NamedTuple):
    position: int
    subject: str
    data: bytes
    headers: dict[str, str]
    time: datetime


class _Fetch:
    """The messages of one request as they come in."""

    def __init__(self) -> None:
        self.found: list[Stored] = []
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes, block: bytes | None) -> None:
        fields = parse_headers(block)
        if "Nats-Sequence" in fields:
            self.found.append(
                Stored(
                    position=int(fields["Nats-Sequence"]),
                    subject=fields["Nats-Subject"],
                    data=data,
                    headers=fields,
                    time=datetime.fromisoformat(fields["Nats-Time-Stamp"]),
                )
            )
            return
        if self.done.done():
            return
        status = (block or b"")[9:12]
        if status in (b"204", b"404"):  # the end of this run; no such message
            self.done.set_result(int(fields.get("Nats-Num-Pending", "0")))
        else:
            text = (block or b"").split(b"\r\n")[0].decode(errors="replace")
            self.done.set_exception(TransientError(f"direct get: {text}"))


class Stream:
    """Reads of one stream. Every call may raise ``TransientError`` (no answer in time) and
    ``LogRefused`` (no such stream, no permission)."""

    def __init__(self, nc: Connection, name: str) -> None:
        self.name = name
        self.replicated: bool | None = None  # not known yet
        self._nc = nc
        self._fetches: dict[int, _Fetch] = {}
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
        found: list[Stored] = []
        pending = 1
        while pending and len(found) < limit:
            start = found[-1].position if found else after
            run, pending = await self._run(subject, start, min(FETCH_MAX, limit - len(found)))
            found += run
            if not run:
                break
        if self.replicated is None:
            await self.info()
        if self.replicated and len(found) < limit:
            start = found[-1].position if found else after
            found += await self._steps(subject, start, limit - len(found))
        return found

    async def last_of_each(self, pattern: str) -> list[Stored]:
        """The newest message of every subject that matches, as of one moment (at most 1024)."""
        found, _ = await self._direct({"multi_last": [pattern]}, pattern)
        return found

    async def _run(self, subject: str, after: int, count: int) -> tuple[list[Stored], int]:
        wanted = {"next_by_subj": subject, "seq": after + 1, "batch": count}
        return await self._direct(wanted, subject)

    async def _direct(self, wanted: dict[str, Any], what: str) -> tuple[list[Stored], int]:
        """The messages of one direct get, and how many more there are."""
        await self._listen()
        for _ in range(FETCH_TRIES - 1):
            with contextlib.suppress(TransientError):
                return await self._direct_once(wanted, what)
            await asyncio.sleep(PAUSE_S)
        return await self._direct_once(wanted, what)

    async def _direct_once(self, wanted: dict[str, Any], what: str) -> tuple[list[Stored], int]:
        self._number += 1
        number, fetch = self._number, _Fetch()
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
        return fetch.found, pending

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
            headers=parse_headers(block),
            time=datetime.fromisoformat(message["time"]),
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
