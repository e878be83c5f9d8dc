"""The listening sockets of every group, bound by the launcher before anything starts.

Invariant  all or none: a port in use ends the start with one line and nothing half bound. The
           sockets stay open as long as the launcher lives, so a connection waits while an instance
           is replaced; it is never refused.
"""

import errno
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

from domain.errors import PhoenixError

HOST = "127.0.0.1"
BACKLOG = 2048


class PortBusy(PhoenixError):
    """One line: the port, whose it should be, and what holds it."""


def slot_ports(base: int, instances: int, step: int) -> tuple[int, ...]:
    """Return the ports of one group: the base port is slot 0."""
    return tuple(base + index * step for index in range(instances))


def bind(ports: Mapping[str, Sequence[int]]) -> dict[str, list[socket.socket]]:
    """Return listening sockets for each service's ports, in order.

    Raises:
        PortBusy: one of them cannot be used; none is left open.
    """
    bound: dict[str, list[socket.socket]] = {service: [] for service in ports}
    try:
        for service, wanted in ports.items():
            for port in wanted:
                bound[service].append(_listen(service, port))
    except BaseException:
        for sockets in bound.values():
            close(sockets)
        raise
    return bound


def close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def _listen(service: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortBusy(_why(service, port, error)) from error
    return listener


def _why(service: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} for {service} is in use{_holder(port)}: stop it, or use --port-shift N"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port {port} for {service} may not be used by this user: use --port-shift N"
    return f"port {port} for {service} cannot be used: {error}"


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            if listening and getattr(connection.laddr, "port", 0) == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
