"""One connection to NATS with the settings that survive a server's restart in half a second.

Roles       owner (set-up only), service, app (generated services), public (no credentials)
Denied      the server answers a forbidden publish with an error on the connection, not with a
            reply: whoever waits for that reply is told through ``on_denied``.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import nats.errors
import orjson
import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from domain.errors import LogRefused, TransientError
from infra.nats.parser import Tap, WireParser
from infra.settings import Settings

Role = Literal["owner", "service", "app", "public"]

CONNECT_TIMEOUT_S = 10.0
PUSH_BYTES = 32 * 1024  # so much goes to the socket at once, so that the server begins with it
_DENIED = re.compile(r"permissions violation for publish to \"([^\"]+)\"", re.IGNORECASE)

log = structlog.get_logger(__name__)


class Connection(Client):
    """A NATS client that tells its users about reconnects and forbidden publishes.

    ``tap`` and ``push`` are the short way in and out: no header parsing, no task or queue per
    subscription. They use inner names of nats-py 2.16 (``_ps``, ``_pending``, ``_flush_queue``,
    ``_transport``); ``tests/infra/nats/test_connection.py`` fails if these change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_denied: list[Callable[[str], None]] = []
        self.refused = asyncio.Event()
        self._taps: dict[bytes, Tap] = {}
        self._ps = WireParser(self, self._taps)

    async def tap(self, subject: str, callback: Tap) -> Subscription:
        """Subscribe with a plain function that gets each message as it arrived."""
        subscription = await self.subscribe(subject)
        self._taps[b"%d" % subscription._id] = callback
        return subscription

    async def untap(self, subscription: Subscription) -> None:
        """End it; quiet when the connection has been closed."""
        self._taps.pop(b"%d" % subscription._id, None)
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()

    def push(self, commands: bytes) -> bool:
        """Send protocol lines; False when too much waits for a reconnect already."""
        if self._pending_data_size > self._max_pending_size and not self.is_connected:
            return False
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        if not self.is_connected:
            return True
        if self._pending_data_size >= PUSH_BYTES and self._transport is not None:
            self._transport.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0
        elif (queue := self._flush_queue) is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())
        return True

    async def reconnected(self) -> None:
        log.info("nats_reconnected")
        for callback in tuple(self.on_reconnect):
            callback()

    async def failed(self, error: Exception) -> None:
        """Every error that the client meets on its own; reconnecting goes on by itself."""
        denied = _DENIED.search(str(error))
        if denied:
            log.warning("nats_publish_denied", subject=denied[1])
            for callback in tuple(self.on_denied):
                callback(denied[1])
        elif "authorization" in str(error).lower():
            log.warning("nats_refused", error=str(error))
            self.refused.set()
        else:
            log.debug("nats_error", error=repr(error))


async def connect(
    servers: str | list[str],
    *,
    name: str = "phoenix",
    timeout_s: float = CONNECT_TIMEOUT_S,
    **options: Any,
) -> Connection:
    """Return a connection that stays: it reconnects for as long as the process lives.

    Raises:
        TransientError: no server answered in time.
        LogRefused: the server refuses these credentials.
    """
    nc = Connection()
    attempt = asyncio.ensure_future(
        nc.connect(
            servers=servers,
            name=name,
            error_cb=nc.failed,
            reconnected_cb=nc.reconnected,
            reconnect_time_wait=0.05,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            ping_interval=1,
            max_outstanding_pings=2,
            connect_timeout=1,
            pending_size=8 * 1024 * 1024,
            **options,
        )
    )
    refused = asyncio.ensure_future(nc.refused.wait())
    try:
        await asyncio.wait(
            (attempt, refused), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if nc.refused.is_set():
            raise LogRefused(f"NATS at {_shown(servers)} refuses these credentials")
        if not attempt.done():
            raise TransientError(f"no NATS server answers at {_shown(servers)}")
        attempt.result()
    except (OSError, nats.errors.Error) as error:
        raise TransientError(f"no NATS server answers at {_shown(servers)}: {error}") from error
    finally:
        refused.cancel()
        if not nc.is_connected:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            await nc.close()
    return nc


async def open_connection(
    settings: Settings, role: Role = "service", *, timeout_s: float = CONNECT_TIMEOUT_S
) -> Connection:
    """Return a connection in one role: to ``PHOENIX_NATS_URL``, else to the embedded server.

    Raises:
        TransientError: no server answered in time, or ``phoenix up`` has never run here.
        LogRefused: the server refuses these credentials.
    """
    servers, options = access(settings, role)
    return await connect(servers, name=f"phoenix-{role}", timeout_s=timeout_s, **options)


def access(settings: Settings, role: Role) -> tuple[list[str], dict[str, Any]]:
    """Return the server addresses and the client options for one role.

    Raises:
        TransientError: the embedded server has not been set up in this data directory.
    """
    if settings.nats_url:
        creds = {"user_credentials": str(settings.nats_creds)} if settings.nats_creds else {}
        return settings.nats_url.split(","), creds
    address = [f"nats://127.0.0.1:{settings.nats_port}"]
    if role == "public":
        return address, {}
    known = read_credentials(settings.data_dir)
    if role not in known:
        raise TransientError(f"no system in {settings.data_dir}: start it with `phoenix up`")
    return address, {"user": role, "password": known[role]}


def credentials_file(data_dir: Path) -> Path:
    return data_dir / "nats" / "credentials.json"


def read_credentials(data_dir: Path) -> dict[str, str]:
    """Return the password of each role of the embedded server; empty before its first start."""
    try:
        return dict(orjson.loads(credentials_file(data_dir).read_bytes()))
    except FileNotFoundError:
        return {}


def _shown(servers: str | list[str]) -> str:
    """Addresses without user names and passwords."""
    given = servers.split(",") if isinstance(servers, str) else servers
    return ", ".join(re.sub(r"//[^@/]*@", "//", address) for address in given)
