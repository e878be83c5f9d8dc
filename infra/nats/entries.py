"""Every stored message from the first on, as the auditor's tree wants them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from domain.audit import LogSealed
from domain.errors import PoisonError
from infra import codec
from infra.audit import SEALS, Entry
from infra.nats.connection import Connection
from infra.nats.log import JetStreamLog
from infra.nats.reader import Raw, StreamReader
from infra.nats.setup import EVENTS


async def messages(
    nc: Connection, *, to: int, after: int = 0, stream: str = EVENTS
) -> AsyncGenerator[Raw, None]:
    """Yield the messages after one position up to another that the stream has reached.

    Raises:
        LogRefused: the server will not serve the stream.
    """
    if to <= after:
        return
    reader = StreamReader(nc, stream, [">"], after=after).start()
    try:
        while True:
            for raw in await reader.next(1000):
                if raw.position > to:
                    return
                yield raw
                if raw.position == to:
                    return
    finally:
        await reader.close()


async def entries(
    nc: Connection, *, to: int, after: int = 0, stream: str = EVENTS
) -> AsyncGenerator[Entry, None]:
    """As ``messages``, but what the tree is made of."""
    async with aclosing(messages(nc, to=to, after=after, stream=stream)) as found:
        async for raw in found:
            yield Entry(raw.position, raw.subject, raw.data)


async def seals_in(log: JetStreamLog) -> tuple[list[LogSealed], list[int]]:
    """Return the checkpoints in the log, oldest first, and the positions of unreadable ones."""
    found, damaged = [], []
    for stored in await log.stream.of(SEALS, 0, 1_000_000):
        try:
            event = codec.decode(
                stored.subject, stored.data, position=stored.position, time=stored.time
            ).event
        except PoisonError:
            damaged.append(stored.position)
            continue
        if isinstance(event, LogSealed):
            found.append(event)
    return found, damaged
