"""Proves over HTTP that a deployed version is up: three instances, one leader, all of UDC."""

import asyncio
from collections.abc import Callable, Sequence

import httpx

from domain.deployment import group_ports
from domain.errors import PhoenixError
from infra.probe import FIELDS, client, json_of, udc_problem, unhealthy

_TRY_AGAIN_S = 0.1


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
    async with client() as asking:
        try:
            async with asyncio.timeout(within_s):
                # What is waited for is in other processes: there is no event to wait for.
                while missing := await _missing(asking, urls, service, version):  # noqa: ASYNC110
                    await asyncio.sleep(_TRY_AGAIN_S)
        except TimeoutError:
            raise NotHealthy(f"after {within_s:g} s: {missing}") from None
    return (
        f"GET /health on {len(urls)} instances",
        "one active instance",
        *(f"GET {path}" for path in FIELDS),
        "POST /message",
    )


async def _missing(
    asking: httpx.AsyncClient, urls: Sequence[str], service: str, version: str
) -> str:
    """Return the first thing that is not as it should be; "" when all is."""
    answers = await asyncio.gather(*(json_of(asking, "GET", f"{url}/health") for url in urls))
    for url, health in zip(urls, answers, strict=True):
        if problem := unhealthy(health, service, version):
            return f"{url}/health: {problem}"
    if len({health.get("instance") for health in answers}) != len(urls):
        return f"fewer than {len(urls)} instances answer"
    active = [health for health in answers if health.get("role") == "active"]
    if len(active) != 1:
        return f"{len(active)} of {len(urls)} instances are active"
    return await udc_problem(asking, urls[0], service)
