"""The five UDC endpoints (``udc_version`` 1.0) and the probes, the same for every service."""

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import httpx
import psutil
from litestar import Controller, Request, Response, get, post
from litestar.params import JSONBody
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import PhoenixError
from infra.http.identity import person_of
from infra.http.requests import now
from infra.http.traffic import Traffic
from infra.ports import Context, Reading, Service
from infra.replay import digests
from infra.settings import BASE_PORTS
from infra.trust import TRUST

UDC_VERSION = "1.0"
_CHECK_TIMEOUT_S = 1.0


class Message(BaseModel):
    """A UDC message. ``event`` and ``command`` may change something and need a token."""

    model_config = ConfigDict(extra="forbid")

    trace_id: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=200)
    target: str = Field(min_length=1, max_length=200)
    message_type: Literal["status", "event", "command", "query"]
    payload: dict[str, Any] = Field(default_factory=dict)
    timestamp: datetime
    signature: str | None = None


class Dependencies:
    """Checks what a service needs, each time it is asked and all at once."""

    def __init__(self, ctx: Context, service: Service) -> None:
        self._ctx = ctx
        self._service = service

    async def check(self) -> dict[str, Any]:
        """Return ``{required, optional, missing}`` as CONTRACTS has it."""
        names = [name for name in self._service.dependencies if name != "nats"]
        found = await asyncio.gather(self._nats(), *(self._service_status(n) for n in names))
        missing = [item["name"] for item in found if item["status"] == "unavailable"]
        return {"required": found, "optional": [], "missing": missing}

    async def _nats(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                await self._ctx.log.last_position()
        except (PhoenixError, TimeoutError, OSError):
            return {"name": "nats", "status": "unavailable"}
        return {"name": "nats", "status": "available"}

    async def _service_status(self, name: str) -> dict[str, Any]:
        async with httpx.AsyncClient(
            verify=TRUST, timeout=_CHECK_TIMEOUT_S, trust_env=False
        ) as client:
            try:
                url = await self._url(client, name)
                health = (await client.get(f"{url}/health")).json()
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                return {"name": name, "status": "unavailable"}
        status = "available" if health.get("status") == "active" else "degraded"
        return {"name": name, "status": status, "url": url, "version": health.get("version", "")}

    async def _url(self, client: httpx.AsyncClient, name: str) -> str:
        if name in BASE_PORTS:
            return self._ctx.host_url(BASE_PORTS[name] + self._ctx.port_shift)
        registry = self._ctx.host_url(BASE_PORTS["registry"] + self._ctx.port_shift)
        answer = await client.get(f"{registry}/services/{name}")
        answer.raise_for_status()
        return str(answer.json()["url"])


def udc_controller(
    ctx: Context, service: Service, traffic: Traffic, reading: Reading
) -> type[Controller]:
    """Return the controller with UDC and probes for one instance of one service."""
    process = psutil.Process()
    process.cpu_percent()  # the first call starts the measurement and answers 0
    started_at = now()
    dependencies = Dependencies(ctx, service)

    class Udc(Controller):
        tags = ("UDC",)

        @get("/health")
        async def health(self) -> dict[str, Any]:
            """How this instance is, and its role in the group."""
            return {
                "status": _status(ctx),
                "service": service.name,
                "version": service.version,
                "timestamp": now(),
                "role": ctx.role,
                "instance": ctx.instance,
                "pid": os.getpid(),
                "epoch": ctx.epoch,
                "capacity": ctx.capacity,
                "position": reading.position,
                "lag": reading.lag,
                "requests_per_s": traffic.requests_per_s(),
                "problem": ctx.problem,
                **service.figures(),
            }

        @get("/capabilities")
        async def capabilities(self) -> dict[str, Any]:
            """What this service offers and needs."""
            return {
                "version": service.version,
                "features": list(service.features),
                "dependencies": list(service.dependencies),
                "udc_version": UDC_VERSION,
                "metadata": {"service": service.name, "tier": service.tier},
            }

        @get("/state")
        async def state(self) -> dict[str, Any]:
            """Uptime, traffic and resources of this instance."""
            return {
                "uptime_seconds": round(traffic.uptime_s, 3),
                "requests_total": traffic.requests_total,
                "errors_last_hour": traffic.errors_last_hour(),
                "last_restart": started_at,
                "requests_per_minute": traffic.requests_per_minute(),
                "cpu_percent": process.cpu_percent(),
                "memory_mb": round(process.memory_info().rss / 2**20, 1),
                **service.figures(),
            }

        @get("/dependencies", name="dependencies")
        async def checked_dependencies(self) -> dict[str, Any]:
            """Every dependency, checked now."""
            return await dependencies.check()

        @post("/message", status_code=200, opt={"reads": True})
        async def message(
            self, data: JSONBody[Message], request: Request[Any, Any, Any]
        ) -> dict[str, Any]:
            """Take a message. A service's own ``message`` answers it; others acknowledge it."""
            if data.message_type in ("event", "command") and not getattr(
                service, "open_writes", False
            ):
                person_of(request)
            handle = getattr(service, "message", None)
            payload: Mapping[str, object] | None = await handle(data) if handle else None
            return {
                "received": True,
                "trace_id": data.trace_id,
                "processed_at": now(),
                "result": "success",
                **({"payload": payload} if payload is not None else {}),
            }

    return Udc


def probes_controller(ctx: Context, traffic: Traffic) -> type[Controller]:
    """Return liveness, readiness, leadership (for load balancers) and Prometheus metrics."""

    class Probes(Controller):
        @get("/livez", include_in_schema=False)
        async def livez(self) -> dict[str, str]:
            return {"status": "alive"}

        @get("/readyz", include_in_schema=False)
        async def readyz(self) -> Response[dict[str, str]]:
            body = {"status": "ready" if ctx.ready else "catching up"}
            return Response(body, status_code=200 if ctx.ready else 503)

        @get("/leader", include_in_schema=False)
        async def leader(self) -> Response[dict[str, Any]]:
            leads = ctx.role == "active"
            body = {"leader": leads, "instance": ctx.instance, "epoch": ctx.epoch}
            return Response(body, status_code=200 if leads else 503)

        @get("/metrics", include_in_schema=False, media_type="text/plain; version=0.0.4")
        async def metrics(self) -> bytes:
            return traffic.metrics()

        @get("/views", include_in_schema=False)
        async def views(self) -> dict[str, Any]:
            """The digest of every row of this instance's views, to compare with a replay."""
            position, dump = ctx.views.position, ctx.views.dump()
            rows = await asyncio.to_thread(digests, dump)
            return {"position": position, "tables": rows}

    return Probes


def _status(ctx: Context) -> Literal["active", "degraded", "inactive", "error"]:
    if not ctx.ready:
        return "error" if ctx.problem else "inactive"
    return "degraded" if ctx.problem else "active"


__all__ = ["Dependencies", "Message", "probes_controller", "udc_controller"]
