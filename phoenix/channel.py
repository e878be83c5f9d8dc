"""JSON lines over a Unix socket between the launcher and one instance; its end means death.

Launcher to instance  ``slots`` (where to accept), ``go`` (a dead holder's name, "" = released),
                      ``hold`` (claim nothing), ``stop`` (why).
Instance to launcher  ``up``, ``ready``, ``role`` (with epoch), ``released``, ``beat``, ``warning``,
                      ``accepting`` (the slots that it serves from now on).
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

_LINE_MAX = 256 * 1024


class Channel:
    """One end. Callbacks run in the event loop; ``on_end`` at most once, and not after close."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._pending = b""
        self._unsent = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)
        self._open = True

    def send(self, message: Message) -> bool:
        """Send; False when the other end is gone or has not read for long (it is then replaced)."""
        if not self._open or len(self._unsent) > _LINE_MAX:
            return False
        self._unsent += json.dumps(message).encode() + b"\n"
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return True  # sent with the next message
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(self._pending) > _LINE_MAX:
            self.close()
            self._on_end()
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            if self._open:
                self._on_message(json.loads(line))
