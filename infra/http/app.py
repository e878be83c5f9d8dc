"""Builds the Litestar application of one instance: the service's routes and what all share."""

from pathlib import Path
from typing import Any

import litestar_offline_docs
from litestar import Litestar, Request, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import ServerSentEvent
from litestar.static_files import create_static_files_router

from infra.http.identity import Identity, write_guard
from infra.http.problems import PROBLEM_HANDLERS
from infra.http.requests import ReadYourWrites
from infra.http.stream import event_stream, last_event_id
from infra.http.traffic import Count, Traffic
from infra.http.udc import probes_controller, udc_controller
from infra.ports import Context, Reading, Service

_DOCS = "/_docs"
_DOCS_FILES = Path(litestar_offline_docs.__file__).parent / "static"
_BODY_MAX_BYTES = 2 * 2**20


def build_app(service: Service, ctx: Context) -> Litestar:
    """Return the application. ``service.open_writes`` (generated services) needs no token;
    ``service.authenticate(request)`` may prove a person in its own way, such as a session."""
    reading: Reading = getattr(service, "views", ctx.views)  # a generated service has its own log
    traffic = Traffic(ctx, reading)
    if own := getattr(service, "metrics", None):
        traffic.also(own)

    @get("/events", include_in_schema=True, tags=["UDC"])
    async def events(request: Request[Any, Any, Any]) -> ServerSentEvent:
        """Every event of the log from now on, or after ``Last-Event-ID``, as SSE."""
        start = last_event_id(request, default=await ctx.log.last_position())
        return event_stream(ctx.log, ("events.>",), after=start)

    return Litestar(
        route_handlers=[
            create_static_files_router(f"{_DOCS}/static", [_DOCS_FILES], include_in_schema=False),
            udc_controller(ctx, service, traffic, reading),
            probes_controller(ctx, traffic),
            events,
            *service.routes(),
        ],
        middleware=[
            Count(traffic),
            Identity(ctx.auth, getattr(service, "authenticate", None)),
            ReadYourWrites(reading),
        ],
        guards=[write_guard(open_writes=getattr(service, "open_writes", False))],
        exception_handlers=PROBLEM_HANDLERS,
        openapi_config=_openapi(service),
        request_max_body_size=_BODY_MAX_BYTES,
        logging_config=None,
    )


def _openapi(service: Service) -> OpenAPIConfig:
    static = f"{_DOCS}/static"
    return OpenAPIConfig(
        title=service.name,
        version=service.version,
        path="/schema",
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
        ),
        security=[{"token": []}, {}],
        render_plugins=[
            SwaggerRenderPlugin(
                js_url=f"{static}/swagger-ui-bundle.js",
                css_url=f"{static}/swagger-ui.css",
                standalone_preset_js_url=f"{static}/swagger-ui-standalone-preset.js",
                favicon="",
            ),
            JsonRenderPlugin(),
        ],
    )
