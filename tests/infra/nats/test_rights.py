"""Who may do what: the log's past is out of every service's reach, and the public only submits."""

import asyncio
from typing import Any

import nats.errors
import orjson
import pytest
from nats.js.errors import APIError

from domain.errors import LogRefused
from infra.nats import api
from infra.nats.connection import Connection
from infra.nats.log import JetStreamLog
from infra.nats.writer import Denied, Message, StreamWriter
from infra.ports import Write
from infra.settings import Settings
from tests.contract.test_event_log import degraded, meta
from tests.support.nats import connected

FORBIDDEN_TO_SERVICES: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("STREAM.UPDATE.EVENTS", {"name": "EVENTS", "subjects": ["events.>"], "max_msgs": 1}),
    ("STREAM.DELETE.EVENTS", None),
    ("STREAM.PURGE.EVENTS", {}),
    ("STREAM.MSG.DELETE.EVENTS", {"seq": 1}),
    ("STREAM.RESTORE.EVENTS", {}),
)


async def denied(nc: Connection, subject: str, payload: bytes = b"") -> bool:
    """Whether the server refuses this publish (it says so on the connection)."""
    seen = asyncio.Event()

    def notice(refused: str) -> None:
        if refused == subject.lower():
            seen.set()

    nc.on_denied.append(notice)
    try:
        await nc.publish(subject, payload)
        await nc.flush()
        async with asyncio.timeout(0.5):
            await seen.wait()
    except TimeoutError:
        return False
    finally:
        nc.on_denied.remove(notice)
    return True


@pytest.mark.parametrize(("call", "body"), FORBIDDEN_TO_SERVICES)
async def test_no_service_can_change_or_shorten_the_log(
    nc: Connection, log: JetStreamLog, call: str, body: dict[str, Any] | None
) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    assert await denied(nc, f"$JS.API.{call}", orjson.dumps(body) if body is not None else b"")
    assert await log.last_position() == 1
    assert (await log.stream.info())["state"]["first_seq"] == 1


async def test_even_the_owner_cannot_delete_or_purge_messages(
    owner: Connection, log: JetStreamLog
) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    for call, body in (("STREAM.MSG.DELETE.EVENTS", {"seq": 1}), ("STREAM.PURGE.EVENTS", {})):
        with pytest.raises(api.Refused):
            await api.call(owner, call, body)


async def test_the_public_submits_intents_and_reads_events_as_any_client(
    settings: Settings, log: JetStreamLog
) -> None:
    async with connected(settings, "public") as public:
        js = public.jetstream()
        live = await public.subscribe("events.>")
        ack = await js.publish("intents.submit", b"{}")
        assert ack.stream == "EVENTS"
        await log.append([Write(degraded(), 0)], meta=meta("1"))
        assert (await live.next_msg(timeout=2)).subject == "events.service.a"
        ordered = await js.subscribe("events.>", ordered_consumer=True)
        assert (await ordered.next_msg(timeout=2)).subject == "events.service.a"
        pulled = await js.pull_subscribe("events.>")
        assert len(await pulled.fetch(1, timeout=2)) == 1
        assert await JetStreamLog(public).read("events.service.a")


@pytest.mark.parametrize(
    "subject",
    [
        "events.service.a",
        "intents.by.admin",
        "$KV.PHOENIX_LEASES.governance",
        "$KV.PHOENIX_USERS.x",
        "$O.PHOENIX_ARTIFACTS.M.x",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.API.STREAM.MSG.GET.KV_PHOENIX_USERS",
        "$JS.API.CONSUMER.CREATE.KV_PHOENIX_USERS.x",
        "$JS.API.STREAM.DELETE.EVENTS",
    ],
)
async def test_the_public_writes_nothing_else(
    settings: Settings, owner: Connection, subject: str
) -> None:
    async with connected(settings, "public") as public:
        assert await denied(public, subject)


async def test_a_delivery_that_the_public_directs_elsewhere_changes_nothing(
    settings: Settings, owner: Connection, log: JetStreamLog
) -> None:
    """A consumer may name any subject to deliver to; the streams there must not take it."""
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    await owner.jetstream().publish("$KV.PHOENIX_USERS.x", b"1")
    async with connected(settings, "public") as public:
        for name, target in (
            ("h1", "$KV.PHOENIX_LEASES.governance"),
            ("h2", "$JS.API.STREAM.PURGE.KV_PHOENIX_USERS"),
            ("h3", "events.service.b"),
        ):
            config = {"name": name, "deliver_subject": target, "ack_policy": "none"}
            request = {"stream_name": "EVENTS", "config": config, "action": "create"}
            with_answer = public.request(
                f"$JS.API.CONSUMER.CREATE.EVENTS.{name}", orjson.dumps(request), timeout=2
            )
            await with_answer
        marker = await JetStreamLog(public).submit(b"{}")
    for stream, expected in (("KV_PHOENIX_LEASES", 0), ("KV_PHOENIX_USERS", 1), ("EVENTS", marker)):
        state = (await api.call(owner, f"STREAM.INFO.{stream}"))["state"]
        assert state["messages"] == expected, stream


async def test_generated_services_have_streams_of_their_own_and_see_nothing_of_ours(
    settings: Settings, log: JetStreamLog
) -> None:
    await log.append([Write(degraded(), 0)], meta=meta("1"))
    async with connected(settings, "app") as app:
        js = app.jetstream()
        await js.add_stream(name="MINE", subjects=["mine.>"])
        await js.publish("mine.a", b"1")
        with pytest.raises(APIError):
            await js.stream_info("EVENTS")
        with pytest.raises((nats.errors.Error, APIError)):
            await js.publish("events.service.a", b"{}", timeout=1)
        await js.delete_stream("MINE")
    assert await log.last_position() == 1


async def test_a_write_without_permission_is_refused_at_once(
    settings: Settings, owner: Connection
) -> None:
    async with connected(settings, "public") as public:
        log = JetStreamLog(public)
        async with asyncio.timeout(1):
            with pytest.raises(LogRefused, match="no permission"):
                await log.append([Write(degraded(), 0)], meta=meta("1"))
            with pytest.raises(LogRefused, match="no permission"):
                await log.append([Write(degraded("a")), Write(degraded("b"))], meta=meta("2"))
        await log.close()


async def test_of_several_that_go_together_only_the_one_without_permission_is_refused(
    settings: Settings, owner: Connection
) -> None:
    async with connected(settings, "public") as public:
        writer = await StreamWriter(public).start()
        subjects = ["intents.submit", "events.service.a", "intents.submit"]
        async with asyncio.timeout(1):
            found = await writer.send_each([[Message(subject, b"{}")] for subject in subjects])
        await writer.close()
    assert isinstance(found.pop(1), Denied)
    assert found == [1, 2]


async def test_a_missing_stream_and_too_large_a_message_say_what_to_do(
    owner: Connection, nc: Connection, log: JetStreamLog
) -> None:
    with pytest.raises(LogRefused, match="the server takes 1048576"):
        await log.append([Write(degraded(reason="x" * 1_100_000), 0)], meta=meta("1"))
    both = [([Write(degraded(reason=text), 0)], meta(text[:1])) for text in ("x" * 1_100_000, "y")]
    large, small = await log.append_each(both)
    assert isinstance(large, LogRefused)
    assert "the server takes 1048576" in str(large)
    assert small == (1,)
    assert await log.submit(b"x" * 1_000_000)  # above our limit of 256 KiB, below the server's
    await api.call(owner, "STREAM.DELETE.EVENTS")
    with pytest.raises(LogRefused, match="does not exist: `phoenix up`"):
        await JetStreamLog(nc).append([Write(degraded(), 0)], meta=meta("2"))
    with pytest.raises(LogRefused, match="EVENTS"):
        await anext(JetStreamLog(nc).follow(["events.>"]))
