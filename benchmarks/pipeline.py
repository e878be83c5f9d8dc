"""The whole system: start-up, memory, and an intent from its publication to a healthy service.

``python -m benchmarks.pipeline`` starts a system of its own on free ports with a fresh data
directory, sends three intents one after another, kills each leader once, and stops it.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import Figure, save, show
from infra.settings import BASE_PORTS
from tests.integration.system import System, running

INTENTS = 3
EXAMPLE = Path(__file__).parents[1] / "examples" / "revenue-analytics.json"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="phoenix-bench-") as folder:
        began = time.monotonic()
        with running(Path(folder)) as system:
            started_s = time.monotonic() - began
            memory_mb = _memory_mb(system)
            pipelines = [_pipeline(system, number) for number in range(INTENTS)]
            failovers = {name: system.kill_leader(name) for name in BASE_PORTS}
    total = statistics.median(pipeline["total_s"] for pipeline in pipelines)
    figures = [
        Figure("start to 18 instances healthy", started_s, "s", goal="< 15", met=started_s < 15),
        Figure("memory of the whole (unique set size)", memory_mb, "MB"),
        Figure("publish to healthy service", total, "s", goal="< 20", met=total < 20),
        *(
            Figure(f"  of it {phase}", seconds, "s", "publish to healthy", seconds / total)
            for phase, seconds in _phases(pipelines)
        ),
        *(
            Figure(f"kill -9 of the leader of {name} to the next answer", seconds, "s")
            for name, seconds in failovers.items()
        ),
    ]
    show("The whole line on this machine", figures)
    save("pipeline", figures)


def _memory_mb(system: System) -> float:
    assert system.process is not None
    root = psutil.Process(system.process.pid)
    processes = [root, *root.children(recursive=True)]
    return float(sum(process.memory_full_info().uss for process in processes)) / 2**20


def _pipeline(system: System, number: int) -> dict[str, Any]:
    intent = json.loads(EXAMPLE.read_text())
    letter = chr(ord("a") + number)
    intent["service_name"] = f"revenue-{letter * 4}"
    began = time.monotonic()
    answer = system.post("intent-queue", "/intents/submit", intent)
    done = system.wait_for(answer["intent_id"], "completed", timeout_s=120)
    return {"total_s": time.monotonic() - began, "lifecycle": done["lifecycle"]}


def _phases(pipelines: list[dict[str, Any]]) -> list[tuple[str, float]]:
    found: dict[str, list[float]] = {}
    for pipeline in pipelines:
        for phase in pipeline["lifecycle"]:
            found.setdefault(phase["phase"], []).append(phase["duration_seconds"] or 0.0)
    return [(name, round(statistics.median(times), 2)) for name, times in found.items()]


if __name__ == "__main__":
    main()
