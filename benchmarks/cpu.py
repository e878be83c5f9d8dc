"""Where the CPU time of a running system goes: seconds of each kind of process."""

from collections import defaultdict
from collections.abc import Mapping

import psutil

from infra.settings import BASE_PORTS
from tests.integration.system import System

HERE = "this benchmark"
LEADER, STANDBYS = "leader", "two standbys"


def seconds(system: System) -> dict[str, float]:
    """CPU seconds (user and system) so far, by what the process does.

    Instances count by the role they have now: take differences while nobody is promoted.
    """
    assert system.process is not None
    root = psutil.Process(system.process.pid)
    used: defaultdict[str, float] = defaultdict(float, {HERE: _used(psutil.Process())})
    leaders: dict[str, int] = {}
    for process in (root, *root.children(recursive=True)):
        try:
            used[_kind(process, system, leaders)] += _used(process)
        except psutil.NoSuchProcess:
            continue
    return used


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used in between, the most first."""
    used = {kind: after[kind] - before.get(kind, 0.0) for kind in after}
    return dict(sorted(used.items(), key=lambda pair: -pair[1]))


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _kind(process: psutil.Process, system: System, leaders: dict[str, int]) -> str:
    words = process.cmdline()[0].split() if process.cmdline() else []
    if words[:1] == ["phoenix"] and len(words) == 3:  # as an instance calls itself
        service = words[1]
        if service not in BASE_PORTS:
            return "generated services"
        if service not in leaders:
            leaders[service] = int(system.leader(service)["pid"])
        role = LEADER if leaders[service] == process.pid else STANDBYS
        return f"{service}, {role}"
    return "nats-server" if process.name() == "nats-server" else "launcher"
