"""Drives one election against a bucket: does what the state machine asks and reports back.

Sources     a watch on the key (the bucket's watch also polls twice a second, because a watch can
            go silent after a server's restart) and a read of our own every half lease.
Invariant   each request is answered to the machine exactly once, within a fraction of the lease.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import orjson
import structlog

from domain.errors import ConflictError, PhoenixError
from phoenix.lease import Action, Demoted, Election, Lead, Probe, Put, Read, Record, Released, Role

_log = structlog.get_logger(__name__)
_WATCH_AGAIN_S = 0.5
_CONFIRMED_S = 5.0  # an outage of a replicated lease takes as long; whoever waits may ask again


class Bucket(Protocol):
    """A key-value bucket with compare-and-set (``infra.nats.kv.CasBucket``)."""

    async def get(self, key: str) -> tuple[bytes, int] | None: ...

    async def create(self, key: str, value: bytes) -> int: ...

    async def update(self, key: str, value: bytes, revision: int) -> int: ...

    async def put(self, key: str, value: bytes) -> int: ...

    def watch(self, key: str) -> AsyncIterator[tuple[bytes, int] | None]: ...


def encode(holder: str, epoch: int, about: dict[str, object] | None = None) -> bytes:
    """The value of a lease key: who holds it ("" = released) and what a person may want to know."""
    return orjson.dumps({**(about or {}), "holder": holder, "epoch": epoch})


def decode(entry: tuple[bytes, int] | None) -> Record | None:
    if entry is None:
        return None
    value = orjson.loads(entry[0])
    return Record(str(value["holder"]), int(value["epoch"]), entry[1])


class Elector:
    """Runs until this instance was demoted or has released its lease."""

    def __init__(
        self,
        bucket: Bucket,
        service: str,
        election: Election,
        *,
        about: dict[str, object],
        on_lead: Callable[[Lead], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._key = service
        self._presence = f"presence.{service}.{about.get('instance', 'unnamed')}"  # one a seat
        self._election = election
        self._about = about
        self._on_lead = on_lead
        self._now = monotonic
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self.demoted = ""  # why, if it was not a release

    def may_act(self) -> bool:
        return self._election.may_act(self._now())

    async def confirmed(self) -> bool:
        """Wait, bounded, until this instance may act; False if it still may not, or never will."""
        if self.may_act():
            return True
        try:
            async with asyncio.timeout(_CONFIRMED_S):
                while not (self.ended.is_set() or self.may_act()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return self.may_act()

    @property
    def holder(self) -> str:
        """The incarnation that the key names, as last seen; "" when nobody holds it."""
        record = self._election.record
        return record.holder if record else ""

    @property
    def holds(self) -> bool:
        return self._election.role is Role.HOLDER

    async def run(self) -> None:
        """Take part until the election is over for this instance."""
        watch = asyncio.create_task(self._watch())
        try:
            while not self.ended.is_set():
                self._do(self._election.tick(self._now()))
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._election.wake_s(self._now())):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in (watch, *self._tasks):
                task.cancel()

    def holder_died(self, holder: str) -> None:
        self._do(self._election.holder_died(self._now(), holder))

    def hold(self, held: bool) -> None:
        """Claim nothing while a person has to look at this group first."""
        self._election.held = held

    def at_least(self, epoch: int) -> None:
        self._election.at_least(epoch)

    async def release(self, *, bound_s: float) -> bool:
        """Give the lease up; True when that is done (or there was none to give up)."""
        self._do(self._election.release(self._now()))
        try:
            async with asyncio.timeout(bound_s):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Put():
                    self._start(self._write(action))
                case Read():
                    self._start(self._read())
                case Probe():
                    self._start(self._probe())
                case Lead():
                    self._on_lead(action)
                case Demoted(reason=reason):
                    self.demoted = reason
                    self.ended.set()
                case Released():
                    self.ended.set()
        self._wake.set()
        self._news.set()

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def _limit_s(self) -> float:
        return self._election.timing.renew_s

    async def _write(self, put: Put) -> None:
        sent_at = self._now()
        value = encode(put.holder, put.epoch, self._about if put.holder else None)
        try:
            async with asyncio.timeout(self._limit_s):
                if put.revision:
                    revision = await self._bucket.update(self._key, value, put.revision)
                else:
                    revision = await self._bucket.create(self._key, value)
        except ConflictError:
            self._do(self._election.put_conflict(self._now()))
        except (PhoenixError, TimeoutError, OSError) as error:
            _log.debug("lease_write_failed", kind=put.kind, error=repr(error))
            self._do(self._election.put_failed(self._now()))
        else:
            self._do(self._election.put_done(self._now(), sent_at, revision))

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                record = decode(await self._bucket.get(self._key))
        except (PhoenixError, TimeoutError, OSError):
            self._do(self._election.read_failed(self._now()))
        else:
            self._do(self._election.seen(self._now(), record, answer=True))

    async def _probe(self) -> None:
        sent_at = self._now()
        try:
            async with asyncio.timeout(self._limit_s):
                await self._bucket.put(self._presence, encode(self._election.me, 0))
        except (PhoenixError, TimeoutError, OSError):
            self._do(self._election.probe_failed(self._now()))
        else:
            self._do(self._election.probe_done(self._now(), sent_at))

    async def _watch(self) -> None:
        while True:
            try:
                async for entry in self._bucket.watch(self._key):
                    if entry is not None:
                        self._do(self._election.seen(self._now(), decode(entry)))
            except (PhoenixError, OSError, TimeoutError) as error:
                _log.warning("lease_watch_again", error=repr(error))
            await asyncio.sleep(_WATCH_AGAIN_S)
