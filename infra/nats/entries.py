"""Every stored message from the first on, as the auditor's tree wants them."""

from collections.abc import AsyncGenerator

from infra.audit import Entry
from infra.nats.connection import Connection
from infra.nats.reader import StreamReader
from infra.nats.setup import EVENTS


async def entries(
    nc: Connection, *, to: int, after: int = 0, stream: str = EVENTS
) -> AsyncGenerator[Entry, None]:
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
                yield Entry(raw.position, raw.subject, raw.data)
                if raw.position == to:
                    return
    finally:
        await reader.close()
