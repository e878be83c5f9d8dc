"""Ten builds at once: all of them get healthy, and nothing else waits for them.

``python -m benchmarks.builds`` starts a system of its own, publishes ten intents at once, asks the
six base ports for reads at a steady rate meanwhile, and three times submits one more intent (which
stops after its SPEC) to see how soon it is queued, decided and specified. Exit 1 when a goal is
missed.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, save, show
from infra.settings import BASE_PORTS
from tests.components.load import Call, Load
from tests.integration.system import System, running, until

RATE = 30.0
BOUND_S = 200.0
PROBE_EVERY_S = 5.0
PROBE_S_MAX = 1.0  # the bound on how long one more intent may wait for its decision
READ_S_MAX = 2.0
# name, what is kept, by what it is reported
WANTED = (
    ("invoice-desk", "invoices with a customer, an amount and a due date", "customer"),
    ("visit-log", "visits with a visitor, a host and a start time", "host"),
    ("boat-yard", "boats with an owner, a length and a launch date", "owner"),
    ("seed-bank", "seeds with a species, a weight and a harvest date", "species"),
    ("field-trips", "trips with a destination, a price and a departure date", "destination"),
    ("book-loans", "loans with a book, a reader and a return date", "reader"),
    ("parcel-desk", "parcels with a carrier, a weight and an arrival date", "carrier"),
    ("wine-cellar", "bottles with a vineyard, a price and a purchase date", "vineyard"),
    ("meter-readings", "readings with a meter, a value and a reading date", "meter"),
    ("course-seats", "seats with a course, a fee and a start date", "course"),
)
MORE = (
    ("lamp-stock", "lamps with a maker, a price and a purchase date", "maker"),
    ("song-list", "songs with a singer, a length and a release date", "singer"),
    ("bike-rack", "bikes with an owner, a price and a purchase date", "owner"),
)
STEPS = ("IntentQueued", "DecisionMade", "SpecAccepted", "BuildStarted", "TestsPassed")
ENDS = ("ArtifactPackaged", "DeploymentStarted", "DeploymentHealthy")


@dataclass(frozen=True)
class Way:
    """When each step of one intent was recorded, in seconds after it was sent."""

    service: str
    at: Mapping[str, float]


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="phoenix-bench-") as folder,
        running(Path(folder)) as system,
    ):
        before = _epochs(system)
        reads = [
            Call(name, "GET", system.url(name, path))
            for path in ("/health", "/capabilities")
            for name in BASE_PORTS
        ]
        with Load(reads, RATE) as load:
            ways, probes, lost = _built(system)
        moved = [name for name, epoch in _epochs(system).items() if epoch != before[name]]
    slowest = max(tally.slowest_s for tally in load.tallies.values())
    figures = [
        Figure("built and healthy", len(ways), "of 10", goal="10", met=len(ways) == len(WANTED)),
        Figure("publication to the last one healthy", _last(ways), "s"),
        *_phases(ways),
        *(
            Figure(f"one more intent to {step}, slowest", slow, "s", goal=goal, met=met)
            for step, slow, goal, met in _of_probes(probes)
        ),
        Figure("leaders replaced", len(moved), "", goal="0", met=not moved),
        Figure("reads answered", load.answered, ""),
        Figure("reads failed", len(load.failed), "", goal="0", met=not load.failed),
        Figure("slowest read", slowest, "s", goal=f"< {READ_S_MAX:g}", met=slowest < READ_S_MAX),
    ]
    show("Ten builds at once", figures)
    save("builds", figures)
    for problem in (*lost, *load.failed[:20]):
        sys.stdout.write(f"{problem}\n")
    return 1 if lost or any(figure.met is False for figure in figures) else 0


def _epochs(system: System) -> dict[str, int]:
    return {name: int(system.leader(name)["epoch"]) for name in BASE_PORTS}


def _intent(wanted: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    name, kept, group = wanted
    noun = kept.partition(" ")[0]
    return {
        "service_name": name,
        "purpose": f"Keep {kept}, so that the staff sees the number of {noun} by {group}",
        "key_features": [f"Record {kept}", f"Number of {noun} by {group}"],
        **more,
    }


def _built(system: System) -> tuple[list[Way], list[Way], list[str]]:
    """Return the ways of the ten, those of the further ones, and what went wrong."""
    sent: dict[str, tuple[str, float]] = {}  # intent -> service and when
    for wanted in WANTED:
        sent[_send(system, _intent(wanted))] = (wanted[0], time.time())
    probes: dict[str, tuple[str, float]] = {}
    began = time.monotonic()

    def over() -> bool:
        if len(probes) < len(MORE) and time.monotonic() - began > PROBE_EVERY_S * (len(probes) + 1):
            wanted = MORE[len(probes)]
            at = time.time()
            probes[_send(system, _intent(wanted, auto_build=False))] = (wanted[0], at)
        return all(system.status_of(intent) not in _OPEN for intent in sent)

    lost = []
    try:
        until(over, timeout_s=BOUND_S, every_s=0.5)
    except TimeoutError as error:
        lost.append(str(error))
    ways = []
    for intent, (service, at) in sent.items():
        status = system.status_of(intent)
        if status == "completed":
            ways.append(_way(system, intent, service, at))
        else:
            outcome = system.get("intent-queue", f"/intents/{intent}")
            lost.append(f"{service}: {status}, {outcome.get('governance_reasoning')}")
    return ways, [_way(system, intent, *found) for intent, found in probes.items()], lost


_OPEN = ("queued", "governance_check", "spec_generation", "building", "deploying")


def _send(system: System, body: dict[str, Any]) -> str:
    return str(system.post("intent-queue", "/intents/submit", body)["intent_id"])


def _way(system: System, intent: str, service: str, sent_at: float) -> Way:
    items = system.get("intent-queue", f"/intents/{intent}/timeline")["items"]
    sent = datetime.fromtimestamp(sent_at, UTC)
    at = {
        item["type"]: (datetime.fromisoformat(item["at"]) - sent).total_seconds() for item in items
    }
    return Way(service, at)


def _last(ways: Sequence[Way]) -> float:
    return max((way.at["DeploymentHealthy"] for way in ways), default=float("inf"))


def _phases(ways: Sequence[Way]) -> list[Figure]:
    """The median of each stretch of the way."""
    names = (*STEPS, *ENDS)
    stretches = (("sent", STEPS[0]), *pairwise(names))
    figures = []
    for start, end in stretches if ways else ():
        taken = [way.at[end] - way.at.get(start, 0.0) for way in ways]
        median = statistics.median(taken)
        figures.append(Figure(f"  {start} to {end}", median, "s", detail={"longest": max(taken)}))
    return figures


def _of_probes(probes: Sequence[Way]) -> list[tuple[str, float, str, bool | None]]:
    found: list[tuple[str, float, str, bool | None]] = []
    for step in STEPS[:3]:
        slow = max((probe.at.get(step, float("inf")) for probe in probes), default=float("inf"))
        bounded = step != "SpecAccepted"
        goal = f"< {PROBE_S_MAX:g}" if bounded else ""
        found.append((step, slow, goal, slow < PROBE_S_MAX if bounded else None))
    return found


if __name__ == "__main__":
    sys.exit(main())
