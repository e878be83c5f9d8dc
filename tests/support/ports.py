"""Free ports for what a test starts.

Each search begins at a random place: runs side by side, and calls soon after one another, hardly
ever find the same port before it is bound.
"""

import contextlib
import random
import socket
from collections.abc import Callable, Iterator

from infra.settings import BASE_PORTS, NATS_PORT, PORT_STEP

PORTS = range(20_000, 32_000)  # below the ports that the system hands out for connections
_GENERATED = range(8300, 8303)
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
    for place in _from_anywhere(places):
        if all(map(_free, ports(place))):
            return place
    raise RuntimeError("no free ports")


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
