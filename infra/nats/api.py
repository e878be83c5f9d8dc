"""Requests to JetStream as they are on the wire, with one kind of error each.

nats-py's own models lack newer stream settings, and its calls raise one exception for several
error codes; the codes decide what we do next, so we keep them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.errors import TransientError

API_TIMEOUT_S = 5.0

NO_MESSAGE = 10037
NO_SUCH_STREAM = 10059
CONFLICT = 10071  # the last sequence of the subject is another one
IN_FLIGHT = 10164  # the same, or a write to the subject is in flight: try again
DUPLICATE_IN_BATCH = 10201
INCOMPLETE_BATCH = 10176
TOO_MANY_BATCHES = 10210
NO_ROOM_ADVICE = (
    "the server has no room left; free disk space under its store_dir or raise"
    " jetstream.max_file_store, then start it again"
)
NO_ROOM = (10023, 10047)  # of disk, or of what the server's settings let it use
# The server is starting, electing or short of a moment; the same request may succeed later.
PASSING = frozenset((INCOMPLETE_BATCH, TOO_MANY_BATCHES, 10008, 10009, 10013, 10167))


class Refused(Exception):
    """The server answered with an error. ``code`` is JetStream's ``err_code``."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code
        self.description = description


def advice(error: Refused) -> str:
    """What the server said and, where people can help, what to do."""
    if error.code in NO_ROOM:
        return f"{error}, nothing was written: {NO_ROOM_ADVICE}"
    return str(error)


class NoStream(Exception):
    """Nobody listens on the subject: the stream is missing or JetStream is starting."""


async def call(
    nc: Client,
    name: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = API_TIMEOUT_S,
) -> dict[str, Any]:
    """Return the answer of ``$JS.API.<name>``.

    Raises:
        Refused: the answer is an error.
        TransientError: no answer in time.
    """
    payload = orjson.dumps(body) if body is not None else b""
    answer = await request(nc, f"$JS.API.{name}", payload, timeout_s=timeout_s)
    return parse(answer.data)


async def request(
    nc: Client,
    subject: str,
    payload: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = API_TIMEOUT_S,
) -> Msg:
    """Return the one answer to a request.

    Raises:
        TransientError: no answer in time, nobody there, or no connection.
    """
    try:
        # Not nats-py's own time-out: asyncio.wait_for loses a cancellation on Python 3.11.
        async with asyncio.timeout(timeout_s):
            return await nc.request(
                subject,
                payload,
                timeout=None,  # type: ignore[arg-type]
                headers=dict(headers) if headers else None,
            )
    except nats.errors.NoRespondersError as error:
        raise TransientError(f"nobody answers on {subject}") from error
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise TransientError(f"no answer on {subject}: {error!r}") from error


def parse(data: bytes) -> dict[str, Any]:
    """Return a JetStream answer.

    Raises:
        Refused: it is an error.
    """
    answer: dict[str, Any] = orjson.loads(data)
    if "error" in answer:
        raise refused(answer["error"])
    return answer


def refused(error: Mapping[str, Any]) -> Refused:
    """What JetStream says in an answer's ``error``."""
    return Refused(int(error.get("err_code", error.get("code", 0))), error["description"])
