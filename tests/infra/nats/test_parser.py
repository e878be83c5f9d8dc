"""However the bytes arrive, the wire parser hears what nats-py's own parser hears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from infra.nats.parser import LINE_BYTES_MAX, WireParser

Seen = tuple[bytes, bytes, bytes, bytes, bytes | None]
TAPPED = b"7"


class Heard:
    """What a client is told by its parser."""

    def __init__(self) -> None:
        self.messages: list[Seen] = []
        self.pings = self.pongs = 0
        self.errors: list[str] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.messages.append((b"%d" % sid, subject, reply, data, headers))

    async def _process_ping(self) -> None:
        self.pings += 1

    async def _process_pong(self) -> None:
        self.pongs += 1

    async def _process_err(self, text: str) -> None:
        self.errors.append(text)


def parser_for(heard: Heard) -> WireParser:
    def tap(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        heard.messages.append((TAPPED, subject, reply, data, headers))

    return WireParser(heard, {TAPPED: tap})


tokens = st.text("abcXYZ019_-$", min_size=1, max_size=12).map(str.encode)
payloads = st.one_of(st.binary(max_size=60), st.just(b"\r\nMSG a 1 3\r\n"), st.just(b"PING\r\n"))


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["MSG", "HMSG", "PING", "PONG", "+OK", "-ERR"]))
    if kind in ("PING", "PONG", "+OK"):
        return kind.encode() + b"\r\n"
    if kind == "-ERR":
        return b"-ERR 'Permissions Violation for Publish to \"a b\"'\r\n"
    subject, sid = draw(tokens), draw(st.sampled_from([TAPPED, b"3", b"12"]))
    reply, data = draw(st.one_of(st.just(b""), tokens)), draw(payloads)
    words = [kind.encode(), subject, sid, *([reply] if reply else [])]
    block = b"" if kind == "MSG" else b"NATS/1.0\r\nA: 1\r\n\r\n"
    sizes = [len(data)] if kind == "MSG" else [len(block), len(block) + len(data)]
    head = b" ".join([*words, *(b"%d" % size for size in sizes)])
    return head + b"\r\n" + block + data + b"\r\n"


@given(stream=st.lists(lines(), max_size=12).map(b"".join), cuts=st.lists(st.integers(0, 900)))
async def test_however_the_bytes_are_cut_it_hears_what_nats_pys_own_parser_hears(
    stream: bytes, cuts: list[int]
) -> None:
    theirs, ours = Heard(), Heard()
    await Parser(theirs).parse(stream)
    parser, start = parser_for(ours), 0
    for cut in [*sorted(cuts), len(stream)]:
        await parser.parse(stream[start:cut])
        start = max(start, min(cut, len(stream)))
    assert ours.messages == theirs.messages
    assert (ours.pings, ours.pongs, ours.errors) == (theirs.pings, theirs.pongs, theirs.errors)
    assert not parser.buf


async def test_a_message_of_many_chunks_is_looked_at_when_it_is_whole() -> None:
    heard, body = Heard(), b"x" * 1_000_000
    parser = parser_for(heard)
    stream = b"MSG a 7 %d\r\n" % len(body) + body + b"\r\nPING\r\n"
    for start in range(0, len(stream), 32_768):
        await parser.parse(stream[start : start + 32_768])
    assert heard.messages == [(TAPPED, b"a", b"", body, None)]
    assert heard.pings == 1


async def test_what_arrived_before_a_reconnect_does_not_reach_the_new_connection() -> None:
    heard = Heard()
    parser = parser_for(heard)
    await parser.parse(b"MSG a 7 10\r\nhalf")
    parser.reset()
    await parser.parse(b"MSG b 7 2\r\nok\r\n")
    assert [subject for _, subject, *_ in heard.messages] == [b"b"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"MSG a\r\n",
        b"MSG a 7 many\r\n",
        b"HMSG a 7\r\n",
        b"x" * (LINE_BYTES_MAX + 1),
    ],
)
async def test_what_is_not_nats_is_an_error(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        await parser_for(Heard()).parse(garbage)
