"""The system builds itself: ``phoenix bootstrap`` of all six parts in one run, under load.

``python -m benchmarks.bootstrap [--rate N] [--newer]`` starts a system of its own on free ports
with a fresh data directory and a copy of this source, submits the six parts, lets two people
approve each, and asks every base port for reads and commands all the while, in turn over kept and
new connections. ``--newer`` changes the code that all parts share first, so that every instance of
a new version runs in an interpreter of its own. Exit 1 when a request failed or a part is not up.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, save, show
from infra.settings import BASE_PORTS
from tests.components.load import Call, Load, Tally
from tests.components.site import Site, change, site
from tests.integration.system import until

RATE = 60.0
BOUND_S = 400.0
BEFORE_S = 2.0
HELD = {
    "service_name": "held-desk",
    "purpose": "Keep a desk that waits for a person, so that its priority can be changed meanwhile",
    "service_type": "infrastructure",
}
GUEST = {"name": "price-feed", "version": "2.1.0", "port": 9100}


@dataclass(frozen=True)
class Part:
    """One part's way, in seconds."""

    name: str
    tests: int
    tests_s: float
    healthy_s: float  # from the last approval
    rollout_s: float


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rate", type=float, default=RATE, help="requests a second")
    options.add_argument("--newer", action="store_true", help="change the shared code first")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="phoenix-bench-") as folder, site(Path(folder)) as here:
        if given.newer:
            change(here.source / "infra" / "clock.py", '"""The only', '"""Newer. The only')
        calls = calls_of(here)
        with Load(calls, given.rate, here.system.token) as load:
            time.sleep(BEFORE_S)
            began = time.monotonic()
            parts, lost = _bootstrap(here)
            took_s = time.monotonic() - began
            time.sleep(BEFORE_S)
    _show(parts, load.tallies)
    for problem in load.failed[:20]:
        sys.stdout.write(f"{problem}\n")
    figures = _figures(parts, load, took_s)
    show("phoenix bootstrap under load", figures)
    save("bootstrap-newer" if given.newer else "bootstrap", figures)
    for problem in lost:
        sys.stdout.write(f"{problem}\n")
    return 1 if load.failed or lost else 0


def calls_of(here: Site) -> list[Call]:
    """Three reads and a command for each part; most commands append an event every time."""
    system = here.system
    held = system.post("intent-queue", "/intents/submit", HELD)["intent_id"]
    system.wait_for(held, "awaiting_approval", timeout_s=60)
    system.post("registry", "/services/register", GUEST, expect=201)
    modes = ({"mode": "supervised"}, {"mode": "autonomous"})
    beats = ({"status": "degraded"}, {"status": "active"})
    commands: Mapping[str, tuple[str, str, Sequence[Any]]] = {
        "registry": ("POST", f"/services/{GUEST['name']}/heartbeat", beats),
        "sovereign-factory": ("POST", "/message", (_message(),)),
        "build-executor": ("POST", "/message", (_message(),)),
        "intent-queue": (
            "PATCH",
            f"/intents/{held}/priority",
            ({"priority": "high"}, {"priority": "low"}),
        ),
        "governance": ("POST", "/governance/mode", modes),
        "approval-dashboard": ("POST", "/api/governance/mode", modes),
    }
    reads = {
        "registry": "/services",
        "sovereign-factory": "/specs",
        "build-executor": "/builds",
        "intent-queue": "/intents",
        "governance": "/governance/decisions",
        "approval-dashboard": "/api/approvals/pending",
    }
    found = []
    for name in BASE_PORTS:
        method, path, bodies = commands[name]
        found += [
            Call(name, "GET", system.url(name, reads[name])),
            Call(name, "GET", system.url(name, "/health")),
            Call(name, "GET", system.url(name, "/capabilities")),
            Call(name, method, system.url(name, path), tuple(bodies)),
        ]
    # In turn over the services, so that the rate is theirs and not one service's after the other.
    return [call for turn in range(4) for call in found[turn::4]]


def _message() -> dict[str, Any]:
    return {
        "trace_id": "bootstrap-load",
        "source": "benchmark",
        "target": "all",
        "message_type": "command",
        "payload": {},
        "timestamp": "2026-01-01T00:00:00Z",
    }


def _bootstrap(here: Site) -> tuple[list[Part], list[str]]:
    """Return how each part went, and what is wrong with those that did not."""
    system = here.system
    answers = system.json("bootstrap")  # in the order of the parts
    names = {n: str(a["intent_id"]) for n, a in zip(BASE_PORTS, answers, strict=True)}
    for intent in names.values():
        system.wait_for(intent, "awaiting_approval", timeout_s=60)
        here.approve(intent)
    open_parts = dict(names)

    def over() -> bool:
        for name, intent in list(open_parts.items()):
            status = system.status_of(intent)
            if status in ("completed", "failed", "needs_detail", "rejected", "cancelled"):
                del open_parts[name]
        return not open_parts

    lost = []
    try:
        until(over, timeout_s=BOUND_S, every_s=0.5)
    except TimeoutError:
        lost = [f"{name}: not over after {BOUND_S:g} s" for name in open_parts]
    parts = []
    for name, intent in names.items():
        row = system.get("intent-queue", f"/intents/{intent}")
        build = here.build_of(name)
        if row["status"] != "completed":
            lost.append(f"{name}: {row['status']}, build {build['status']}: {build['reason']}")
            (Path.cwd() / f"bootstrap-{name}.log").write_text(
                system.phoenix("build", "log", build["build_id"])
            )
            continue
        if not all("+b" in version for version in here.versions(name)):
            lost.append(f"{name}: its instances are {here.versions(name)}")
        timeline = system.get("intent-queue", f"/intents/{intent}/timeline")["items"]
        parts.append(_part(name, build, timeline))
    return parts, lost


def _part(name: str, build: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> Part:
    at = {item["type"]: datetime.fromisoformat(item["at"]) for item in timeline}
    steps = {step["event"]: step for step in build["steps"]}
    healthy = at["DeploymentHealthy"]
    return Part(
        name,
        build["tests_passed"],
        float(steps["TestsPassed"]["duration_s"]),
        (healthy - at["ApprovalGranted"]).total_seconds(),
        (healthy - at["DeploymentStarted"]).total_seconds(),
    )


def _show(parts: Sequence[Part], tallies: Mapping[str, Tally]) -> None:
    table = Table(title="The six parts")
    for column in (
        "part",
        "tests passed",
        "tests s",
        "approval to healthy s",
        "rollout s",
        "requests",
        "failed",
        "slowest s",
    ):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part in parts:
        tally = tallies[part.name]
        table.add_row(
            part.name,
            str(part.tests),
            f"{part.tests_s:.1f}",
            f"{part.healthy_s:.1f}",
            f"{part.rollout_s:.1f}",
            str(tally.answered + len(tally.failed)),
            str(len(tally.failed)),
            f"{tally.slowest_s:.2f}",
        )
    Console(width=130).print(table)


def _figures(parts: Sequence[Part], load: Load, took_s: float) -> list[Figure]:
    whole = len(parts) == len(BASE_PORTS)
    failed = len(load.failed)
    return [
        Figure("parts rolled out", len(parts), "of 6", goal="6", met=whole),
        Figure("submission to the last one healthy", took_s, "s"),
        Figure("requests answered", load.answered, ""),
        Figure("requests failed", failed, "", goal="0", met=failed == 0),
        *(
            Figure(
                part.name,
                part.healthy_s,
                "s",
                detail={"tests": part.tests, "tests_s": part.tests_s, "rollout_s": part.rollout_s},
            )
            for part in parts
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
