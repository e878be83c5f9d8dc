"""A key-value bucket with an honest compare-and-set.

nats-py raises one exception for "somebody else wrote" (10071) and for "a write is in flight"
(10164); a lease must tell them apart, so this writes with headers of its own. Reads ask the
stream's leader. A watch is also polled: after a server's restart a watch can be silent for long.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

from domain.errors import ConflictError, LogRefused, TransientError
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.fetch import Stored, Stream
from infra.nats.reader import StreamReader

WRITE_TIMEOUT_S = 2.0
POLL_S = 0.5
IN_FLIGHT_TRIES = 5
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
OPERATION = "KV-Operation"


class CasBucket:
    """One bucket. ``revision`` is the key's position in the bucket's stream."""

    def __init__(self, nc: Connection, bucket: str) -> None:
        self.bucket = bucket
        self._nc = nc
        self._stream = Stream(nc, f"KV_{bucket}")
        self._prefix = f"$KV.{bucket}."

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """The value and its revision as the leader has them; None without a value.

        Raises:
            TransientError: no answer in time.
            LogRefused: no such bucket, or no permission.
        """
        stored = await self._stream.last(self._prefix + key)
        return _value(stored)

    async def written_at(self, key: str) -> datetime | None:
        """When the key was last written, by the server's clock; None if it never was."""
        stored = await self._stream.last(self._prefix + key)
        return stored.time if stored else None

    async def create(self, key: str, value: bytes) -> int:
        """Store the first value (or one after a deletion) and return its revision.

        Raises:
            ConflictError: the key has a value.
            TransientError: no answer in time: it may have been stored.
        """
        stored = await self._stream.last(self._prefix + key)
        if _value(stored) is not None:
            raise ConflictError(key, expected=0, found=stored.position if stored else None)
        return await self._write(key, value, stored.position if stored else 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Store a value in place of one revision and return the new revision.

        Raises:
            ConflictError: the key has another revision by now.
            TransientError: no answer in time: it may have been stored.
        """
        return await self._write(key, value, revision)

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever was there."""
        return await self._write(key, value, None)

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Remove the value, if given only in this revision.

        Raises:
            ConflictError: the key has another revision by now.
            TransientError: no answer in time: it may have been removed.
        """
        await self._write(key, b"", revision, {OPERATION: "DEL"})

    async def keys(self) -> dict[str, int]:
        """Every key that has a value, with its revision."""
        found: dict[str, int] = {}
        for stored in await self._stream.last_of_each(f"{self._prefix}>"):
            if _value(stored) is not None:
                found[stored.subject.removeprefix(self._prefix)] = stored.position
        return found

    async def watch(self, key: str) -> AsyncIterator[tuple[bytes, int] | None]:
        """Yield the value now and after each change (changes in quick succession may be skipped).

        Never ends by itself; a missing answer only delays it.
        """
        reader = StreamReader(
            self._nc, self._stream.name, [self._prefix + key], last_per_subject=True
        ).start()
        seen: int | None = None
        try:
            while True:
                with contextlib.suppress(TransientError):
                    stored = await self._stream.last(self._prefix + key)
                    revision = stored.position if stored else 0
                    if revision != seen:
                        seen = revision
                        yield _value(stored)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await reader.next(1000)
        finally:
            await reader.close()

    async def _write(
        self, key: str, value: bytes, expected: int | None, headers: dict[str, str] | None = None
    ) -> int:
        subject = self._prefix + key
        fields = dict(headers or {})
        if expected is not None:
            fields[EXPECTED] = str(expected)
        for attempt in range(IN_FLIGHT_TRIES):
            answer = await api.request(
                self._nc, subject, value, headers=fields, timeout_s=WRITE_TIMEOUT_S
            )
            try:
                return int(api.parse(answer.data)["seq"])
            except api.Refused as error:
                if error.code == api.CONFLICT:
                    raise ConflictError(key, expected=expected) from error
                if error.code not in (api.IN_FLIGHT, *api.PASSING):
                    raise LogRefused(f"{subject}: {error}") from error
            await asyncio.sleep(0.005 * 2**attempt)
        raise TransientError(f"{subject}: a write to it was in flight all the time")


def _value(stored: Stored | None) -> tuple[bytes, int] | None:
    if stored is None or OPERATION in stored.headers or "Nats-Marker-Reason" in stored.headers:
        return None
    return stored.data, stored.position
