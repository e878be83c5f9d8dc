"""Free ports for what a test starts.

Whoever is given a port has half a minute to bind it before another call may find it free, also one
of another process: tests run side by side, and a whole system takes a while to bind all of its.
"""

import contextlib
import fcntl
import json
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.settings import BASE_PORTS, NATS_PORT, PORT_STEP

PORTS = range(20_000, 32_000)  # below the ports that the system hands out for connections
_GENERATED = range(8300, 8303)
_GIVEN_S = 30.0
_GIVEN = Path(tempfile.gettempdir()) / f"phoenix-test-ports-{os.getuid()}.json"
_SHIFTS = range(PORTS.start - min(BASE_PORTS.values()), PORTS.stop - 9000 - 2 * PORT_STEP)


def free_port() -> int:
    """A port that nobody listens on and that settings can express as a port shift."""
    return _first(PORTS, lambda port: [port])


def free_base(instances: int = 3) -> int:
    """A base port that is free with its steps, one for each instance."""
    highest = PORTS.stop - PORT_STEP * (instances - 1)
    return _first(range(PORTS.start, highest), lambda base: _slots(base, instances))


def free_shift() -> int:
    """A port shift under which the built-in services, NATS and three generated services fit."""
    bases = [*BASE_PORTS.values(), *_GENERATED]
    ports = [NATS_PORT, *(port for base in bases for port in _slots(base, 3))]
    return _first(_SHIFTS, lambda shift: [port + shift for port in ports])


def _slots(base: int, instances: int) -> list[int]:
    return [base + PORT_STEP * n for n in range(instances)]


def _first(places: range, ports: Callable[[int], list[int]]) -> int:
    with _given() as given:
        for place in _from_anywhere(places):
            wanted = ports(place)
            if not given.keys() & set(wanted) and all(map(_free, wanted)):
                given.update(dict.fromkeys(wanted, time.time()))
                return place
    raise RuntimeError("no free ports")


@contextlib.contextmanager
def _given() -> Iterator[dict[int, float]]:
    """Ports given lately, with the time; what is added is kept for every process of this user."""
    with _GIVEN.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        since = time.time() - _GIVEN_S
        stored = json.loads(file.read() or "{}")
        given = {int(port): at for port, at in stored.items() if at > since}
        yield given
        file.truncate(0)
        file.write(json.dumps(given))


def _from_anywhere(places: range) -> Iterator[int]:
    start = random.randrange(len(places))
    yield from places[start:]
    yield from places[:start]


def _free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False
