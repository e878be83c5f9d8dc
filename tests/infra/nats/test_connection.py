"""The short way in and out of the client, which leans on inner names of nats-py."""

import asyncio

from infra.nats.connection import PUSH_BYTES, Connection
from infra.nats.reader import parse_headers

Seen = tuple[bytes, bytes, bytes, bytes | None]


async def test_a_tap_gets_what_is_pushed_as_it_was_sent_and_nothing_after_its_end(
    nc: Connection,
) -> None:
    seen: list[Seen] = []
    arrived = asyncio.Event()

    def take(*message: bytes | None) -> None:
        subject, reply, data, headers = message
        assert subject is not None
        assert reply is not None
        assert data is not None
        seen.append((subject, reply, data, headers))
        if data == b"last":
            arrived.set()

    tap = await nc.tap("t.*", take)
    assert nc.push(b"PUB t.a  5\r\nplain\r\n")
    head = b"NATS/1.0\r\nA: 1\r\n\r\n"
    size = len(head)
    assert nc.push(b"HPUB t.b reply.to %d %d\r\n" % (size, size + 4) + head + b"last\r\n")
    async with asyncio.timeout(5):
        await arrived.wait()
    assert [(s, r, d) for s, r, d, _ in seen] == [
        (b"t.a", b"", b"plain"),
        (b"t.b", b"reply.to", b"last"),
    ]
    assert parse_headers(seen[0][3]) == {}
    assert parse_headers(seen[1][3]) == {"A": "1"}

    await nc.untap(tap)
    await nc.publish("t.c", b"late")
    await nc.flush()
    assert len(seen) == 2


async def test_the_rest_of_the_client_works_beside_taps(nc: Connection) -> None:
    await nc.tap("t.*", lambda *_: None)
    usual = await nc.subscribe("u.*")
    await nc.publish("u.a", b"1", headers={"A": "1"})
    message = await usual.next_msg(timeout=2)
    assert (message.data, message.headers) == (b"1", {"A": "1"})


async def test_much_at_once_goes_straight_to_the_socket_and_keeps_its_order(
    nc: Connection,
) -> None:
    """What nats-py has pending, then small and large pushes: one order."""
    seen: list[bytes] = []
    arrived = asyncio.Event()

    def take(*message: bytes | None) -> None:
        seen.append(message[2] or b"")
        if len(seen) == 201:
            arrived.set()

    await nc.tap("t.*", take)
    await nc.publish("t.a", b"first")
    sent = [b"%d" % n + b"x" * (PUSH_BYTES if n % 50 == 0 else 300) for n in range(200)]
    for body in sent:
        assert nc.push(b"PUB t.a  %d\r\n" % len(body) + body + b"\r\n")
    async with asyncio.timeout(5):
        await arrived.wait()
    assert seen == [b"first", *sent]
