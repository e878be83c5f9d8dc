"""JSON lines over a Unix socket between the launcher and one instance; its end means death.

Launcher to instance  ``slots`` (where to accept), ``go`` (a dead holder's name, "" = released),
                      ``hold`` (claim nothing), ``stop`` (why), ``report`` (say how you are),
                      ``share`` (no launcher lives: accept on the slots of one that fell).
Instance to launcher  ``up``, ``ready``, ``role`` (with epoch), ``released``, ``beat``, ``warning``,
                      ``accepting`` (the slots that it serves from now on), ``report``.
Two launchers         may follow one another at the same end (the fork server keeps it open). The
                      first may have died in the middle of a line, read or written: its rest is
                      never a JSON object, and is skipped.
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

    def send(self, message: Message, *, droppable: bool = False) -> bool:
        """Send; False when the other end is gone or has not read for long (it is then replaced).

        ``droppable``: worth nothing if it cannot be sent at once.
        """
        if not self._open or len(self._unsent) > _LINE_MAX or (droppable and self._unsent):
            return False
        self._unsent += json.dumps(message).encode() + b"\n"
        return self._flush()

    def resume(self, message: Message) -> bool:
        """Send the first message of another launcher: on a line of its own, whatever came before"""
        self._unsent = b"\n"
        return self.send(message)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _flush(self) -> bool:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""
            self._loop.remove_writer(self._sock)
            return False
        if self._unsent:
            self._loop.add_writer(self._sock, self._flush)
        else:
            self._loop.remove_writer(self._sock)
        return True

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
            message = _message(line)
            if message is not None and self._open:
                self._on_message(message)


def _message(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
