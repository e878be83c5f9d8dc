"""Tells open pages that something changed: they then ask for themselves what."""

import asyncio
from collections.abc import AsyncIterator

from litestar.response import ServerSentEvent, ServerSentEventMessage

from infra.ports import Context

_AGAIN_MS = 300  # a browser waits three seconds by itself
_QUIET_S = 15.0  # a sign of life, so that a lost connection is noticed
_AT_MOST_EVERY_S = 0.3  # many changes at once are one piece of news


def live(ctx: Context) -> ServerSentEvent:
    """``changed`` with the position as data whenever the views have moved on."""

    async def messages() -> AsyncIterator[ServerSentEventMessage]:
        known = ctx.views.position
        yield ServerSentEventMessage(event="hello", data=str(known), retry=_AGAIN_MS)
        while True:
            if not await ctx.views.changed(timeout_s=_QUIET_S):
                yield ServerSentEventMessage(comment="still here")
            elif ctx.views.position != known:
                known = ctx.views.position
                yield ServerSentEventMessage(event="changed", data=str(known))
                await asyncio.sleep(_AT_MOST_EVERY_S)

    return ServerSentEvent(messages())
