"""NATS's wire protocol as it arrives: messages of taps go straight to their functions.

nats-py's own parser (2.16) cuts each message off a growing buffer with two regular expressions and
awaits a coroutine for it (1.5 us for an answer of JetStream). This one walks the chunk (0.6 us).
Everything that is not a message (PING, INFO, -ERR, ...) is handed, one line at a time, to the
parser it extends.
"""

from collections.abc import Callable
from typing import Any

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

# (subject, reply, payload, header block): as they came, without parsing
Tap = Callable[[bytes, bytes, bytes, bytes | None], None]

LINE_BYTES_MAX = 1024 * 1024  # a line that does not end; the longest is the server's INFO


class WireParser(Parser):
    """``taps``: the function of each subscription that has one, by its number as on the wire."""

    def __init__(self, nc: Any, taps: dict[bytes, Tap]) -> None:
        self._taps = taps
        self._resets = 0
        super().__init__(nc)

    def reset(self) -> None:
        """Forget what has arrived: a new connection begins."""
        super().reset()
        self._wanted = 0  # bytes that must be there before the first message is whole
        self._resets += 1

    async def parse(self, data: bytes = b"") -> None:
        """Deal with the next bytes; what is not whole yet waits for more.

        Raises:
            ProtocolError: this is not NATS.
        """
        if self.buf:
            self.buf += data
            if len(self.buf) < self._wanted:
                return
            data = bytes(self.buf)
            self.buf.clear()
        resets = self._resets
        rest = await self._messages(data)
        if self._resets == resets:  # else a reconnect came in between: the rest is the old one's
            self.buf += data[rest:]

    async def _messages(self, data: bytes) -> int:
        """Deal with all that is whole; return where the rest begins."""
        taps, resets, at = self._taps, self._resets, 0
        while (end := data.find(b"\r\n", at)) >= 0:
            words = data[at:end].split()  # MSG subject sid [reply] size, HMSG ... header_size size
            body = start = end + 2
            kind = words[0] if words else b""
            if kind != b"MSG" and kind != b"HMSG":
                await super().parse(data[at:start])
                if self._resets != resets:
                    break
                at = start
                continue
            try:
                stop = start + int(words[-1])
                if kind == b"HMSG":
                    body += int(words.pop(-2))
                sid = words[2]
                reply = words[3] if len(words) == 5 else b""
            except (ValueError, IndexError) as error:
                raise ProtocolError("nats: malformed message") from error
            if len(data) < stop + 2:
                self._wanted = stop + 2 - at
                return at
            headers = data[start:body] if body > start else None
            at = stop + 2
            if (tap := taps.get(sid)) is not None:
                tap(words[1], reply, data[body:stop], headers)
            else:
                await self.nc._process_msg(int(sid), words[1], reply, data[body:stop], headers)
                if self._resets != resets:
                    break
        if len(data) - at > LINE_BYTES_MAX:
            raise ProtocolError("nats: a line without an end")
        self._wanted = 0
        return at
