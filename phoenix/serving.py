"""HTTP for one instance: uvicorn's protocol on sockets that come and go while it runs.

Kept connections   belong to the slot they came in on. An instance that gives a slot up answers what
                   comes on them with ``Connection: close`` and closes the idle ones soon after, so
                   that a pooled client of the base port soon talks to the leader again.
Accepting          by hand: an ``asyncio.Server`` that is closed loses what it has just accepted
                   (its transport refuses to attach) without closing it, so the client waits.
"""

import asyncio
import socket
from collections.abc import Collection, Sequence
from email.utils import formatdate
from functools import partial
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_GRACE_S = 0.5  # idle keep-alive clients get this long to meet ``Connection: close``
_ACCEPTS_MAX = 64  # in one turn of the loop
_ACCEPT_AGAIN_S = 0.5  # after the host had no descriptor left

_log = structlog.get_logger(__name__)


class StartFailed(RuntimeError):
    """The application's own start-up failed; its log says why."""


class _Connection(HttpToolsProtocol):
    """One client's connection, which knows where it came in."""

    def __init__(self, slot: int, open_slots: Collection[int], **given: Any) -> None:
        super().__init__(**given)
        self.slot = slot
        self._open_slots = open_slots
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._leaving = self.slot not in self._open_slots  # accepted just before it was given up

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def leave(self) -> None:
        """Make the next answer the last one on this connection."""
        self._leaving = True
        if self.cycle is not None:
            self.cycle.keep_alive = False


class HttpServer:
    """Accepts on any of the given listening sockets (slots), as told."""

    def __init__(self, app: Any, listeners: Sequence[socket.socket]) -> None:
        self._config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
        )
        self._listeners = listeners
        self._state = ServerState()
        self._open: dict[int, socket.socket] = {}
        self._arriving: set[asyncio.Task[Any]] = set()  # accepted, not yet in ``_state``
        self._closing = False
        self._dates: asyncio.Task[None] | None = None

    @property
    def requests_total(self) -> int:
        return self._state.total_requests

    @property
    def in_flight(self) -> int:
        """Requests that are being answered now."""
        return len(self._state.tasks)

    @property
    def slots(self) -> frozenset[int]:
        return frozenset(self._open)

    async def start(self) -> None:
        """Run the application's start-up.

        Raises:
            StartFailed: it did not start.
        """
        self._config.load()
        self._lifespan = self._config.lifespan_class(self._config)
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise StartFailed("the application did not start")
        self._dates = asyncio.create_task(self._keep_date())

    def accept_on(self, slots: Collection[int]) -> None:
        """Accept on exactly these slots; connections of the others live on.

        The listening sockets stay open in the launcher: nothing is refused in between.
        """
        loop = asyncio.get_running_loop()
        for slot in set(slots) - set(self._open):
            if self._closing:
                return
            listener = self._open[slot] = self._listeners[slot].dup()
            loop.add_reader(listener, self._accept, slot, listener)
        for slot in set(self._open) - set(slots):
            listener = self._open.pop(slot)
            loop.remove_reader(listener)
            listener.close()
            self._part_with(slot)

    async def drain(self, bound_s: float) -> None:
        """Accept nothing more, finish what is in flight (at most ``bound_s``), end the app."""
        self._closing = True
        self.accept_on(())
        self._stamp()
        end = asyncio.get_running_loop().time() + bound_s
        await self._until_idle(min(_GRACE_S, bound_s))
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._until_idle(max(0.0, end - asyncio.get_running_loop().time()))
        for task in list(self._state.tasks):
            task.cancel()
        if self._dates is not None:
            self._dates.cancel()
            await self._lifespan.shutdown()

    async def _until_idle(self, bound_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + bound_s
        # uvicorn's protocols keep plain sets and tell nobody when they shrink.
        while self._busy() and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def _busy(self) -> bool:
        return bool(self._arriving or self._state.connections or self._state.tasks)

    def _accept(self, slot: int, listener: socket.socket) -> None:
        """Take what waits on a slot. What has been accepted is served, whatever comes next."""
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTS_MAX):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left: the clients wait in the queue
                _log.error("cannot_accept", slot=slot, error=str(error))
                loop.remove_reader(listener)
                loop.call_later(_ACCEPT_AGAIN_S, self._go_on, slot, listener)
                return
            client.setblocking(False)
            arrival = loop.connect_accepted_socket(partial(self._protocol, slot), client)
            task = loop.create_task(arrival)
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _go_on(self, slot: int, listener: socket.socket) -> None:
        if self._open.get(slot) is listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, slot, listener)

    def _part_with(self, slot: int) -> None:
        leaving = [c for c in self._connections() if c.slot == slot]
        for connection in leaving:
            connection.leave()

        def close_idle() -> None:
            for connection in leaving:
                if connection in self._state.connections:
                    connection.shutdown()  # in the middle of an answer: closes after it

        asyncio.get_running_loop().call_later(_GRACE_S, close_idle)

    def _connections(self) -> list[_Connection]:
        return [c for c in self._state.connections if isinstance(c, _Connection)]

    def _protocol(self, slot: int) -> asyncio.Protocol:
        return _Connection(
            slot,
            self._open,
            config=self._config,
            server_state=self._state,
            app_state=self._lifespan.state,
        )

    async def _keep_date(self) -> None:
        while True:
            self._stamp()
            await asyncio.sleep(1.0)

    def _stamp(self) -> None:
        headers = [(b"date", formatdate(usegmt=True).encode())]
        if self._closing:
            headers.append((b"connection", b"close"))
        self._state.default_headers = headers
