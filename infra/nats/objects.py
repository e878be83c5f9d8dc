"""Blobs by digest in a JetStream object bucket (readable with any NATS client).

What is stored never changes: the name is the SHA-256, and every read is verified against it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import TypeVar

import nats.errors
import nats.js.errors
from nats.js.api import ObjectMeta
from nats.js.object_store import ObjectStore as NatsObjects

from domain.errors import LogRefused, NotFound, PoisonError, TransientError
from infra.nats.connection import Connection
from infra.nats.setup import ARTIFACTS

OBJECT_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 5.0

Answer = TypeVar("Answer")


class JetStreamObjects:
    """Implements ``infra.ports.ObjectStore``."""

    def __init__(self, nc: Connection, bucket: str = ARTIFACTS) -> None:
        self._js = nc.jetstream(timeout=CALL_TIMEOUT_S)
        self._bucket_name = bucket
        self._bucket: NatsObjects | None = None

    async def put(self, data: bytes, *, description: str = "") -> str:
        """Store and return the digest; storing the same bytes again changes nothing.

        Raises:
            TransientError: not finished in time; it may be tried again.
            LogRefused: no such bucket, or no permission.
        """
        digest = hashlib.sha256(data).hexdigest()
        bucket = await self._open()
        try:
            info = await _bounded(bucket.get_info(digest))
            if info.size == len(data):
                return digest
        except nats.js.errors.NotFoundError:
            pass
        await _bounded(bucket.put(digest, data, ObjectMeta(description=description)))
        return digest

    async def get(self, digest: str) -> bytes:
        """Return the bytes, verified against the digest.

        Raises:
            NotFound: no such object.
            PoisonError: the stored bytes do not have that digest.
            TransientError: not finished in time.
        """
        bucket = await self._open()
        try:
            result = await _bounded(bucket.get(digest))
        except nats.js.errors.NotFoundError as error:
            raise NotFound(f"no object {digest}") from error
        except nats.js.errors.DigestMismatchError as error:
            raise PoisonError(f"the stored object {digest} is damaged") from error
        data = bytes(result.data or b"")
        if hashlib.sha256(data).hexdigest() != digest:
            raise PoisonError(f"the stored object {digest} has other content")
        return data

    async def _open(self) -> NatsObjects:
        if self._bucket is None:
            try:
                self._bucket = await _bounded(self._js.object_store(self._bucket_name))
            except nats.js.errors.NotFoundError as error:
                raise LogRefused(
                    f"the object bucket {self._bucket_name} does not exist: run `phoenix up` once"
                ) from error
        return self._bucket


async def _bounded(work: Awaitable[Answer]) -> Answer:
    """nats-py waits for ever for a chunk that was lost; we do not."""
    try:
        async with asyncio.timeout(OBJECT_TIMEOUT_S):
            return await work
    except (nats.js.errors.NotFoundError, nats.js.errors.DigestMismatchError):
        raise
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise TransientError(f"object store: {error!r}") from error
