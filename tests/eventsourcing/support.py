"""Settings for applications of the ``eventsourcing`` library on a test's own server."""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

from eventsourcing.utils import Environment

from infra.eventsourcing_jetstream import JetStreamFactory
from infra.nats import api
from infra.nats.connection import connect, read_credentials
from tests.support.nats import Server

MODULE = "infra.eventsourcing_jetstream"


def environment(server: Server, **more: str) -> dict[str, str]:
    """What an application with the rights of a generated service needs on this server."""
    password = quote(read_credentials(server.data_dir)["app"], safe="")
    return {
        "PERSISTENCE_MODULE": MODULE,
        "NATS_URL": f"nats://app:{password}@127.0.0.1:{server.port}",
        **more,
    }


def factory(env: Mapping[str, str], name: str) -> JetStreamFactory:
    return JetStreamFactory(Environment(name, env))


def remove_streams(env: Mapping[str, str]) -> None:
    """A new store for the next test: whatever it is called, its ids start from 1."""

    async def remove() -> None:
        nc = await connect(env["NATS_URL"].split(","))
        try:
            for name in (await api.call(nc, "STREAM.NAMES"))["streams"] or ():
                await api.call(nc, f"STREAM.DELETE.{name}")
        finally:
            await nc.close()

    asyncio.run(remove())
