"""The state of a system whose launcher was killed, as its instances tell it themselves.

Same shape as the launcher's own (``Launcher.status``), with ``pid`` 0; what only a launcher knows
(restarts, failovers) is empty.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from infra.settings import Settings

ASK_S = 2.0
ADVICE = (
    "none runs (it was killed): instances go on and elect leaders, but what falls is not replaced; "
    "`phoenix up` takes them over, `phoenix down` ends them"
)


async def state(settings: Settings, left: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """``left``: the instances' specs by the lock of their launcher."""
    specs = [spec for several in left.values() for spec in several]
    names = dict.fromkeys(spec["service"] for spec in specs)
    async with httpx.AsyncClient(trust_env=False, timeout=ASK_S) as http:
        services = await asyncio.gather(
            *(_service(http, [spec for spec in specs if spec["service"] == name]) for name in names)
        )
    instances = [
        {"service": service["service"], **instance}
        for service in services
        for instance in service["instances"]
    ]
    return {
        "pid": 0,
        "data_dir": str(settings.data_dir.absolute()),
        "nats": {
            "url": settings.nats_url or f"nats://127.0.0.1:{settings.nats_port}",
            "pid": 0,
            "restarts": 0,
        },
        "services": services,
        "instances": instances,
        "troubles": {_command(lock): ADVICE for lock in left},
    }


def _command(lock: str) -> str:
    return "launcher" if lock == "launcher" else f"phoenix-launcher of {lock.partition('-')[2]}"


async def _service(http: httpx.AsyncClient, specs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ports: Sequence[int] = specs[0]["ports"]
    healths = await asyncio.gather(*(_health(http, port) for port in ports))
    said: dict[int, dict[str, Any]] = {}
    answered: dict[int, list[int]] = {}
    for port, health in zip(ports, healths, strict=True):
        if health:
            said[health["pid"]] = health
            answered.setdefault(health["pid"], []).append(port)
    instances = [
        _instance(spec, answered.get(spec["pid"], ()), said.get(spec["pid"], {})) for spec in specs
    ]
    instances.sort(key=lambda instance: (instance["role"] != "active", instance["instance"]))
    leader = instances[0] if instances[0]["role"] == "active" else None
    return {
        "service": specs[0]["service"],
        "version": specs[0]["version"],
        "port": ports[0],
        "whole": False,
        "leader": leader["instance"] if leader else "",
        "leader_elsewhere": "",
        "epoch": leader["epoch"] if leader else 0,
        "restarts": 0,
        "failovers": 0,
        "last_failover_s": None,
        "last_failover_ago_s": None,
        "held": False,
        "error": "",
        "instances": instances,
    }


async def _health(http: httpx.AsyncClient, port: int) -> dict[str, Any]:
    try:
        health: dict[str, Any] = (await http.get(f"http://127.0.0.1:{port}/health")).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return health if "pid" in health else {}


def _instance(spec: dict[str, Any], ports: Sequence[int], health: dict[str, Any]) -> dict[str, Any]:
    return {
        "instance": spec["instance"],
        "pid": spec["pid"],
        "ports": list(ports),
        "state": "ready" if health.get("status") == "active" else health.get("status", "silent"),
        "role": health.get("role", "standby"),
        "epoch": health.get("epoch") or 0,
        "capacity": spec["capacity"],
        "version": spec["version"],
        **{name: health[name] for name in ("position", "lag") if name in health},
    }
