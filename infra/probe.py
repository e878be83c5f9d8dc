"""Asks a running instance over HTTP whether it is what it should be: health and all of UDC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from infra.trust import TRUST

REQUEST_S = 2.0
FIELDS: Mapping[str, tuple[str, ...]] = {
    "/health": ("status", "service", "version", "timestamp"),
    "/capabilities": ("version", "features", "dependencies", "udc_version", "metadata"),
    "/state": ("uptime_seconds", "requests_total", "errors_last_hour", "last_restart"),
    "/dependencies": ("required", "optional", "missing"),
}


def client() -> httpx.AsyncClient:
    """Return a client that opens a connection for each request: one that is kept alive would stay
    with whoever accepted it, leader or not."""
    fresh = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(verify=TRUST, timeout=REQUEST_S, trust_env=False, limits=fresh)


def unhealthy(health: Mapping[str, Any], service: str, version: str) -> str:
    """Return what is wrong with an answer of ``/health``; "" when nothing is."""
    if "problem" in health and "status" not in health:
        return str(health["problem"])
    wanted = {"service": service, "version": version, "status": "active"}
    for field, value in wanted.items():
        if health.get(field) != value:
            return f"{field} is {health.get(field)!r}, not {value!r}"
    return ""


async def instance_problem(
    asking: httpx.AsyncClient, url: str, service: str, version: str, instance: str
) -> str:
    """Return the first thing that is not as it should be at one instance; "" when all is."""
    health = await json_of(asking, "GET", f"{url}/health")
    if problem := unhealthy(health, service, version):
        return f"{url}/health: {problem}"
    if health.get("instance") != instance:
        return f"{url}/health: {health.get('instance')} answers, not {instance}"
    return await udc_problem(asking, url, service)


async def udc_problem(asking: httpx.AsyncClient, url: str, service: str) -> str:
    """Return the first of the five UDC endpoints that does not answer as it should; "" if none."""
    for path, fields in FIELDS.items():
        answer = await json_of(asking, "GET", f"{url}{path}")
        lacking = [field for field in fields if field not in answer]
        if lacking:
            return f"{url}{path}: no {', '.join(lacking)} {answer.get('problem', '')}"
    body = {
        "trace_id": f"prove-{service}",
        "source": "build-executor",
        "target": service,
        "message_type": "query",
        "payload": {},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    answer = await json_of(asking, "POST", f"{url}/message", json=body)
    if answer.get("received") is True:
        return ""
    return f"{url}/message: {answer.get('problem') or answer}"


async def json_of(asking: httpx.AsyncClient, method: str, url: str, **more: Any) -> dict[str, Any]:
    """The JSON object of a good answer; otherwise ``{"problem": ...}`` alone."""
    try:
        answer = await asking.request(method, url, **more)
        if answer.status_code != 200:
            return {"problem": f"HTTP {answer.status_code}"}
        found = answer.json()
    except httpx.HTTPError as error:
        return {"problem": type(error).__name__}
    except ValueError:
        return {"problem": "no JSON"}
    return found if isinstance(found, dict) else {"problem": "no JSON object"}
