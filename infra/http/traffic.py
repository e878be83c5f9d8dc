"""An instance's own traffic: counters for ``/state`` and Prometheus ``/metrics``."""

import time
from collections import deque
from collections.abc import Callable, Iterable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.registry import Collector

from infra.ports import Context, Reading

_MINUTE = 60.0
_HOUR_MINUTES = 60
_RECENT_S = 5
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Traffic:
    """Requests and errors since the start, by minute for the last hour."""

    def __init__(self, ctx: Context, reading: Reading) -> None:
        self.started = time.monotonic()
        self.requests_total = 0
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT_S + 1)  # by second
        self._minutes: deque[tuple[int, int, int]] = deque(maxlen=_HOUR_MINUTES + 1)
        self._ctx = ctx
        self._reading = reading
        self._registry = CollectorRegistry()
        labels = {"service": ctx.service, "instance": ctx.instance}
        self._requests = Counter(
            "phoenix_http_requests",
            "HTTP requests by method, route and status.",
            ["service", "instance", "method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "phoenix_http_request_seconds",
            "Time to answer, by route.",
            ["service", "instance", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"phoenix_{name}", text, list(labels), registry=self._registry).labels(
                **labels
            )
            for name, text in (
                ("leader", "1 on the leader, else 0."),
                ("ready", "1 once the views have caught up."),
                ("epoch", "Term of the leader this instance knows."),
                ("capacity", "Worker slots of this instance."),
                ("log_position", "Log position that the views have reached."),
                ("log_lag", "Events that match and are not yet in the views."),
                ("uptime_seconds", "Seconds since this instance started."),
            )
        }
        self._labels = labels

    def also(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Add a service's own metrics, asked for at every scrape."""
        self._registry.register(_Own(collect))

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests_total += 1
        now = time.monotonic()
        _, in_second = self._recent.pop() if self._in_last_second(now) else (0, 0)
        self._recent.append((int(now), in_second + 1))
        minute = int(now // _MINUTE)
        error = int(status >= 500)
        if self._minutes and self._minutes[-1][0] == minute:
            _, requests, errors = self._minutes.pop()
            self._minutes.append((minute, requests + 1, errors + error))
        else:
            self._minutes.append((minute, 1, error))
        self._requests.labels(**self._labels, method=method, route=route, status=status).inc()
        self._seconds.labels(**self._labels, route=route).observe(seconds)

    def errors_last_hour(self) -> int:
        oldest = int(time.monotonic() // _MINUTE) - _HOUR_MINUTES
        return sum(errors for minute, _, errors in self._minutes if minute > oldest)

    def _in_last_second(self, now: float) -> bool:
        return bool(self._recent) and self._recent[-1][0] == int(now)

    def requests_per_s(self) -> float:
        """Over the last five full seconds, or since the start when that is shorter."""
        second = int(time.monotonic())
        recent = sum(count for at, count in self._recent if second - _RECENT_S <= at < second)
        return round(recent / min(max(self.uptime_s, 1.0), _RECENT_S), 2)

    def requests_per_minute(self) -> float:
        """Over the last five full minutes, or since the start when that is shorter."""
        minute = int(time.monotonic() // _MINUTE)
        recent = sum(requests for at, requests, _ in self._minutes if at >= minute - 4)
        return round(recent / max(min(self.uptime_s, 5 * _MINUTE) / _MINUTE, 1 / 60), 2)

    def metrics(self) -> bytes:
        """The Prometheus text format."""
        ctx = self._ctx
        for name, value in (
            ("leader", float(ctx.role == "active")),
            ("ready", float(ctx.ready)),
            ("epoch", float(ctx.epoch)),
            ("capacity", float(ctx.capacity)),
            ("log_position", float(self._reading.position)),
            ("log_lag", float(self._reading.lag)),
            ("uptime_seconds", self.uptime_s),
        ):
            self._gauges[name].set(value)
        return generate_latest(self._registry)


class _Own(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        return ()  # else it is asked at once, when there are no views yet

    def collect(self) -> Iterable[Metric]:
        return self._collect()


class Count(ASGIMiddleware):
    """Counts every answered request under its route's template."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._traffic.count(
                    str(scope.get("method", "")),
                    str(scope.get("path_template") or "unmatched"),
                    message["status"],
                    time.perf_counter() - began,
                )
            await send(message)

        await next_app(scope, receive, counted)
