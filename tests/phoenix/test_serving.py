"""A connection that has been accepted is answered, whatever its instance is told next."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from phoenix.serving import HttpServer

CLIENTS = 20
ANSWER_S = 5.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        yield bound


@pytest.fixture
async def server(listener: socket.socket) -> AsyncIterator[HttpServer]:
    served = HttpServer(hello, [listener])
    await served.start()
    yield served
    await served.drain(1.0)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"hi"})


def asking(listener: socket.socket) -> socket.socket:
    """A client whose request lies in the listening socket's queue."""
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    client.setblocking(False)
    return client


async def answer(client: socket.socket) -> bytes:
    with client:
        async with asyncio.timeout(ANSWER_S):
            return await asyncio.get_running_loop().sock_recv(client, 65536)


@pytest.mark.parametrize("turns", range(4))
async def test_who_is_accepted_while_a_slot_is_given_up_is_answered(
    server: HttpServer, listener: socket.socket, turns: int
) -> None:
    server.accept_on({0})
    clients = [asking(listener) for _ in range(CLIENTS)]
    for _ in range(turns):
        await asyncio.sleep(0)
    server.accept_on(())
    assert server.slots == frozenset()
    taken = [asyncio.create_task(answer(client)) for client in clients]
    await asyncio.sleep(0)
    server.accept_on({0})  # those still in the queue, as the next instance would
    for found in await asyncio.gather(*taken):
        assert found.startswith(b"HTTP/1.1 200")


async def test_who_is_accepted_while_the_instance_ends_is_answered(
    server: HttpServer, listener: socket.socket
) -> None:
    server.accept_on({0})
    client = asking(listener)
    async with asyncio.timeout(ANSWER_S):
        while not server.in_flight:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
    _, found = await asyncio.gather(server.drain(2.0), answer(client))
    assert found.startswith(b"HTTP/1.1 200")
