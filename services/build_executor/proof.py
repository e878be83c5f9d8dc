"""Proves over HTTP that a deployed version is up: three instances, one leader, all of UDC."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from domain.deployment import group_ports
from domain.errors import PhoenixError
from infra.http import now

_TRY_AGAIN_S = 0.1
_REQUEST_S = 2.0
_FIELDS: dict[str, tuple[str, ...]] = {
    "/health": ("status", "service", "version", "timestamp"),
    "/capabilities": ("version", "features", "dependencies", "udc_version", "metadata"),
    "/state": ("uptime_seconds", "requests_total", "errors_last_hour", "last_restart"),
    "/dependencies": ("required", "optional", "missing"),
}


class NotHealthy(PhoenixError):
    """The version did not come up in time; the text is what was last seen missing."""


async def prove(
    service: str, version: str, base: int, host_url: Callable[[int], str], *, within_s: float
) -> tuple[str, ...]:
    """Return what was proven. ``base`` is the port as bound on the host.

    Raises:
        NotHealthy: not all of it within the time.
    """
    missing = "nothing was asked"
    urls = [host_url(port) for port in sorted(group_ports(base))]
    # A connection kept alive would stay with whoever accepted it, leader or not.
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=_REQUEST_S, trust_env=False, limits=fresh) as client:
        try:
            async with asyncio.timeout(within_s):
                # What is waited for is in other processes: there is no event to wait for.
                while missing := await _missing(client, urls, service, version):  # noqa: ASYNC110
                    await asyncio.sleep(_TRY_AGAIN_S)
        except TimeoutError:
            raise NotHealthy(f"after {within_s:g} s: {missing}") from None
    return (
        f"GET /health on {len(urls)} instances",
        "one active instance",
        *(f"GET {path}" for path in _FIELDS),
        "POST /message",
    )


async def _missing(
    client: httpx.AsyncClient, urls: Sequence[str], service: str, version: str
) -> str:
    """Return the first thing that is not as it should be; "" when all is."""
    answers = await asyncio.gather(*(_json(client, "GET", f"{url}/health") for url in urls))
    for url, health in zip(urls, answers, strict=True):
        if problem := _unhealthy(health, service, version):
            return f"{url}/health: {problem}"
    if len({health.get("instance") for health in answers}) != len(urls):
        return f"fewer than {len(urls)} instances answer"
    active = [health for health in answers if health.get("role") == "active"]
    if len(active) != 1:
        return f"{len(active)} of {len(urls)} instances are active"
    for path, fields in _FIELDS.items():
        answer = await _json(client, "GET", f"{urls[0]}{path}")
        lacking = [field for field in fields if field not in answer]
        if lacking:
            return f"{urls[0]}{path}: no {', '.join(lacking)} {answer.get('problem', '')}"
    return await _message(client, urls[0], service)


def _unhealthy(health: dict[str, Any], service: str, version: str) -> str:
    if "problem" in health and "status" not in health:
        return str(health["problem"])
    wanted = {"service": service, "version": version, "status": "active"}
    for field, value in wanted.items():
        if health.get(field) != value:
            return f"{field} is {health.get(field)!r}, not {value!r}"
    return ""


async def _message(client: httpx.AsyncClient, url: str, service: str) -> str:
    body = {
        "trace_id": f"prove-{service}",
        "source": "build-executor",
        "target": service,
        "message_type": "query",
        "payload": {},
        "timestamp": now().isoformat(),
    }
    answer = await _json(client, "POST", f"{url}/message", json=body)
    if answer.get("received") is True:
        return ""
    return f"{url}/message: {answer.get('problem') or answer}"


async def _json(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> dict[str, Any]:
    """The JSON object of a good answer; otherwise ``{"problem": ...}`` alone."""
    try:
        answer = await client.request(method, url, **more)
        if answer.status_code != 200:
            return {"problem": f"HTTP {answer.status_code}"}
        found = answer.json()
    except httpx.HTTPError as error:
        return {"problem": type(error).__name__}
    except ValueError:
        return {"problem": "no JSON"}
    return found if isinstance(found, dict) else {"problem": "no JSON object"}
