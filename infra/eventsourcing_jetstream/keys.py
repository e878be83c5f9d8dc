"""Keys by name in a stream of their own, beside an application's log and never in it.

Stream      ``es-<application>-keys``, a subject a key: the key, then nothing once it was dropped
Dropped     an empty message is written first, then the server overwrites the key where it lies
            (``STREAM.MSG.DELETE`` without ``no_erase``); what was begun is finished by a repeat.
"""

import asyncio

from domain.errors import LogRefused, TransientError
from infra.eventsourcing_jetstream.stream import AppStream
from infra.nats import api
from infra.nats.writer import EXPECTED

_TRIES = 5
_PAUSE_S = 0.05
_GONE = (api.NO_MESSAGE, 10043)  # another instance has done it


class JetStreamKeys:
    """Satisfies ``infra.service_kit.personal.KeyStore``. Every call raises ``OperationalError``
    when the server is away or refuses."""

    def __init__(self, stream: AppStream) -> None:
        self._stream = stream

    def get(self, name: str) -> bytes | None:
        """Return a key; None when there never was one, nothing (``b""``) when it was dropped."""
        return self._stream.call(self._get(name))

    def add(self, name: str, key: bytes) -> bytes:
        """Keep a key unless there is one, or was; return what is kept."""
        return self._stream.call(self._add(name, key))

    def erase(self, name: str) -> None:
        """Drop a key for ever, or see to it that it never comes to be."""
        self._stream.call(self._erase(name))

    async def _get(self, name: str) -> bytes | None:
        stored = await self._stream.last(self._stream.names.originator(name))
        return stored.data if stored else None

    async def _add(self, name: str, key: bytes) -> bytes:
        if await self._put(name, key, 0):
            return key
        found = await self._get(name)
        return key if found is None else found

    async def _erase(self, name: str) -> None:
        stream = await self._stream.reader()
        subject = self._stream.names.originator(name)
        for _ in range(_TRIES):
            last = await stream.last(subject)
            done = last is not None and not last.data
            if done or await self._put(name, b"", last.position if last else 0):
                break
        else:
            raise TransientError(f"{subject}: others keep writing it")
        for stored in await stream.of(subject, 0, _TRIES, exact=True):
            if stored.data:
                await self._overwrite(stored.position)

    async def _overwrite(self, position: int) -> None:
        nc, stream, _ = await self._stream.open()
        try:
            await api.call(nc, f"STREAM.MSG.DELETE.{stream.name}", {"seq": position})
        except api.Refused as error:
            if error.code not in _GONE:
                raise LogRefused(f"{stream.name}, key {position}: {error}") from error

    async def _put(self, name: str, value: bytes, expected: int) -> bool:
        """Write it on top of a position; False when something else stands there."""
        nc, _, _ = await self._stream.open()
        subject = self._stream.names.originator(name)
        for _ in range(_TRIES):
            answer = await api.request(nc, subject, value, headers={EXPECTED: str(expected)})
            try:
                return bool(api.parse(answer.data)["seq"])
            except api.Refused as error:
                if error.code == api.CONFLICT:
                    return False
                if error.code not in (api.IN_FLIGHT, *api.PASSING):
                    raise LogRefused(f"{subject}: {api.advice(error)}") from error
            await asyncio.sleep(_PAUSE_S)
        raise TransientError(f"{subject}: a write to it was in flight all the time")
