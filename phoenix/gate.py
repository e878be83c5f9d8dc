"""The log as a leader may use it: what is fenced is written only while the lease is confirmed."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from domain.errors import TransientError
from domain.event import Event
from domain.recorded import Recorded
from infra.ports import Append, EventLog, Fence, Guard, Meta, Outcome, Subscription, Write


class LogReads:
    """The reading half of ``infra.ports.EventLog``, handed through."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def read(
        self, subject: str, *, after: int = 0, limit: int = 10_000
    ) -> list[Recorded[Event]]:
        return await self._log.read(subject, after=after, limit=limit)

    async def get(self, position: int) -> Recorded[Event] | None:
        return await self._log.get(position)

    async def last(self, subject: str) -> Recorded[Event] | None:
        return await self._log.last(subject)

    async def last_position(self) -> int:
        return await self._log.last_position()

    def follow(
        self,
        subjects: Sequence[str],
        *,
        after: int = 0,
        batch: int = 500,
        events: Collection[type[Event]] | None = None,
    ) -> Subscription:
        return self._log.follow(subjects, after=after, batch=batch, events=events)


class GatedLog(LogReads):
    """Implements ``infra.ports.EventLog``. The server's fence is the proof; this gate only keeps an
    unconfirmed leader from trying, so that it waits out an outage instead of failing."""

    def __init__(self, log: EventLog, confirmed: Callable[[], Awaitable[bool]]) -> None:
        """``confirmed`` returns at once while this instance may act, else waits, bounded, until it
        may again; False if it may not."""
        super().__init__(log)
        self._confirmed = confirmed

    async def append(
        self, writes: Sequence[Write], *, meta: Meta, fence: Fence | Guard | None = None
    ) -> tuple[int, ...]:
        """See ``infra.ports.EventLog.append``.

        Raises:
            TransientError: also if the lease is still not confirmed after the wait.
        """
        await self._confirm(fence)
        return await self._log.append(writes, meta=meta, fence=fence)

    async def append_each(
        self, appends: Iterable[Append], *, fence: Fence | None = None
    ) -> list[Outcome]:
        """See ``infra.ports.EventLog.append_each``; the lease is looked at once, at the start.

        Raises:
            TransientError: the lease is still not confirmed after the wait; nothing was written.
        """
        await self._confirm(fence)
        return await self._log.append_each(appends, fence=fence)

    async def _confirm(self, fence: Fence | Guard | None) -> None:
        if isinstance(fence, Fence) and not await self._confirmed():
            raise TransientError("the lease has not been confirmed lately")

    async def submit(self, body: bytes, *, person: str = "", message_id: str = "") -> int:
        return await self._log.submit(body, person=person, message_id=message_id)
