"""Server-sent events from the log: ``id`` is the log position, so a client goes on where it was."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from litestar import Request
from litestar.response import ServerSentEvent, ServerSentEventMessage

from domain.errors import Invalid
from domain.event import Event
from domain.recorded import Recorded
from infra.event_json import as_json
from infra.ports import EventLog

Keep = Callable[[Recorded[Event]], bool]
Last = Callable[[Recorded[Event]], bool]


def event_stream(
    log: EventLog,
    subjects: Sequence[str],
    *,
    after: int,
    keep: Keep = lambda _: True,
    last: Last = lambda _: False,
) -> ServerSentEvent:
    """Return the events on ``subjects`` after a position as SSE, until ``last`` says so."""

    async def messages() -> AsyncIterator[ServerSentEventMessage]:
        subscription = log.follow(subjects, after=after)
        try:
            async for batch in subscription:
                for recorded in batch.events:
                    if not keep(recorded):
                        continue
                    yield ServerSentEventMessage(
                        data=json.dumps(as_json(recorded)),
                        event=recorded.event.short_type,
                        id=str(recorded.position),
                    )
                    if last(recorded):
                        return
        finally:
            await subscription.close()

    return ServerSentEvent(messages())


def last_event_id(request: Request[Any, Any, Any], default: int) -> int:
    """Return the position to go on after: ``Last-Event-ID``, or ``?last_event_id=``, or default."""
    value = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    if not value:
        return default
    try:
        return max(int(value), 0)
    except ValueError:
        raise Invalid("Last-Event-ID", "must be a log position, a whole number") from None
