"""What travels over NATS, as an AsyncAPI document made from the event types themselves.

``GET /asyncapi`` shows it (its files come from an installed package), ``GET /asyncapi.json`` is the
document. Both are made when they are first asked for.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any, Literal

from litestar import MediaType, Request, get
from litestar.static_files import create_static_files_router
from litestar_asyncapi import (
    AsyncAPIConfig,
    AsyncAPIPlugin,
    AsyncAPIUIRenderPlugin,
    ChannelDefinition,
    MessageDefinition,
    OperationDefinition,
)
from litestar_asyncapi.docs import asset_directory
from litestar_asyncapi.spec import Parameter
from pydantic import BaseModel, create_model

from domain.catalog import EVENT_TYPES, MODULES
from domain.event import Event
from domain.intent import Submission

_CLOUD_EVENTS = "application/cloudevents+json"
_NAMES = {"json": "asyncapi:json", "assets": "asyncapi:assets"}
_ENVELOPE_ONLY = frozenset(("type", "at"))


def routes(version: str) -> Sequence[Any]:
    """Return the page, the document and the page's files, for this version of the system."""
    ui = AsyncAPIUIRenderPlugin()

    @cache
    def source() -> AsyncAPIPlugin:
        # Not registered as a plugin: its own handlers are of a kind that Litestar has deprecated.
        return AsyncAPIPlugin(_config(version))

    @get("/asyncapi", opt={"asyncapi_routes": _NAMES}, media_type=MediaType.HTML)
    async def page(request: Request[Any, Any, Any]) -> bytes:
        """Every event and its fields, to read."""
        made = ui.render(request, source().get_asyncapi_schema(request.app))
        return made.replace(b"<head>", b'<head><link rel="icon" href="data:,">', 1)

    @get("/asyncapi.json", name=_NAMES["json"], media_type=MediaType.JSON)
    async def document(request: Request[Any, Any, Any]) -> bytes:
        """Every event and its fields, as AsyncAPI 3.1."""
        return source().get_asyncapi_json(request.app)

    files = create_static_files_router(
        "/asyncapi/assets",
        directories=[asset_directory()],
        name=_NAMES["assets"],
        include_in_schema=False,
    )
    return (page, document, files)


def _config(version: str) -> AsyncAPIConfig:
    return AsyncAPIConfig(
        title="Phoenix over NATS",
        version=version,
        description="Every subject of the stream EVENTS. Bodies are CloudEvents 1.0 in JSON.",
        channels=[_submissions(), *_contexts()],
        include_websocket_routes=False,
        include_channels_plugin=False,
    )


def stored() -> list[tuple[str, type[Event]]]:
    """The platform's event types by context and name; raw intents are anyone's bytes."""
    modules = {module.__name__ for module in MODULES}
    found = [
        (full_type, cls)
        for full_type, cls in EVENT_TYPES.items()
        if cls.__module__ in modules and cls.context != "raw"
    ]
    return sorted(found, key=lambda pair: (pair[1].context, pair[0]))


def _submissions() -> ChannelDefinition:
    message = MessageDefinition(
        payload=Submission,
        name="Submission",
        summary="An intent, as any client may publish it.",
        content_type="application/json",
    )
    submit = OperationDefinition("receive", [message], operation_id="submitIntent")
    return ChannelDefinition("intents.submit", "intents.submit", [submit])


def _contexts() -> Iterator[ChannelDefinition]:
    for context, pairs in groupby(stored(), key=lambda pair: pair[1].context):
        events = list(pairs)
        key = events[0][1].key
        messages = [_message(full_type, cls) for full_type, cls in events]
        yield ChannelDefinition(
            f"events.{context}",
            f"events.{context}.{{{key}}}",
            [OperationDefinition("send", messages, operation_id=f"follow_{context}")],
            parameters={key: Parameter(description="Which aggregate this is about.")},
        )


def _message(full_type: str, cls: type[Event]) -> MessageDefinition:
    return MessageDefinition(
        payload=_envelope(full_type, cls),
        name=cls.__name__,
        title=full_type,
        summary=(cls.__dict__.get("__doc__") or "").strip().split("\n\n")[0] or None,
        content_type=_CLOUD_EVENTS,
    )


def _envelope(full_type: str, cls: type[Event]) -> type[BaseModel]:
    """The body as it is stored: the event's own fields are the ``data``."""
    own: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in cls.model_fields.items()
        if name not in _ENVELOPE_ONLY
    }
    data = create_model(f"{cls.__name__}Data", **own)
    fields: dict[str, Any] = {
        "specversion": (Literal["1.0"], ...),
        "id": (str, ...),
        "source": (str, ...),
        "type": (Literal[full_type], ...),
        "subject": (str, ...),
        "time": (datetime, ...),
        "datacontenttype": (Literal["application/json"], ...),
        "data": (data, ...),
        "correlationid": (str, ""),
        "causationid": (str, ""),
        "actor": (str, ""),
        "epoch": (int, 0),
        "traceparent": (str, ""),
    }
    return create_model(f"{cls.__name__}Message", **fields)
