"""What the launcher records: starts, deaths and promotions as events, without making anyone wait.

Delivery    in order, retried for as long as the log is away; at most ``WAITING_MAX`` wait, then the
            oldest is dropped and counted (the log has been away for very long).
"""

import asyncio
import uuid
from collections import deque

import structlog

from domain.errors import PhoenixError, TransientError
from domain.event import Event
from infra.ports import EventLog, Meta, Write

WAITING_MAX = 10_000
_BATCH = 100
_PAUSE_S = 0.2

_log = structlog.get_logger(__name__)


class Journal:
    """Appends what it is given in the background."""

    def __init__(self, log: EventLog, *, actor: str) -> None:
        self._log = log
        self._actor = actor
        self._waiting: deque[tuple[Event, str]] = deque(maxlen=WAITING_MAX)
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.dropped = 0

    def add(self, event: Event) -> None:
        if len(self._waiting) == WAITING_MAX:
            self.dropped += 1
        self._waiting.append((event, str(uuid.uuid4())))
        self._idle.clear()
        self._more.set()

    async def run(self) -> None:
        """Append until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                batch = list(self._waiting)[:_BATCH]
                if await self._append(batch):
                    for _ in batch:
                        self._waiting.popleft()
                else:
                    await asyncio.sleep(_PAUSE_S)
            self._idle.set()

    async def flush(self, *, bound_s: float) -> bool:
        """Wait until everything is written; False when it was not within the bound."""
        try:
            async with asyncio.timeout(bound_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _append(self, batch: list[tuple[Event, str]]) -> bool:
        meta = Meta(command_id=batch[0][1], actor=self._actor, source="launcher")
        try:
            await self._log.append([Write(event) for event, _ in batch], meta=meta)
        except TransientError as error:
            _log.info("journal_waits", error=str(error), waiting=len(self._waiting))
            return False
        except PhoenixError as error:
            _log.error("journal_refused", error=str(error), events=len(batch))
        return True
