"""Chooses the ports of a new service: base, +1000 and +2000, free in the log and on this host."""

import socket
from collections.abc import Iterable

from domain.deployment import group_ports, overlapping
from infra.settings import BASE_PORTS, GENERATED_PORTS
from services.build_executor.bench import StepFailed


def choose(wanted: int | None, reserved: Iterable[int], *, shift: int) -> int:
    """Return the base port, without the shift.

    Raises:
        StepFailed: the wanted port belongs to somebody else, or none is free.
    """
    taken = (*reserved, *BASE_PORTS.values())
    if wanted is not None:
        if clash := overlapping(wanted, taken):
            raise StepFailed("port", f"port {min(clash)} belongs to another service")
        if busy := in_use(wanted, shift):
            raise StepFailed("port", f"port {busy} is in use on this host")
        return wanted
    for base in GENERATED_PORTS:
        if not overlapping(base, taken) and not in_use(base, shift):
            return base
    raise StepFailed("port", f"no free port in {GENERATED_PORTS.start}-{GENERATED_PORTS.stop - 1}")


def in_use(base: int, shift: int) -> int | None:
    """Return the first of the three ports, as bound on this host, that somebody listens on."""
    for port in sorted(group_ports(base)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port + shift))
            except OSError:
                return port + shift
    return None
