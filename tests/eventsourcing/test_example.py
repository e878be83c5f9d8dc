"""The example application does what its page says."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import orjson
import pytest
from eventsourcing.cipher import AESCipher
from eventsourcing.projection import ProjectionRunner

from examples.eventsourcing_app.wallets import (
    Overdrawn,
    Turnover,
    TurnoverView,
    Wallet,
    Wallets,
    environment,
)
from infra.nats.connection import connect
from infra.nats.fetch import Stream
from tests.eventsourcing.support import environment as server_environment
from tests.eventsourcing.support import remove_streams
from tests.support.nats import Server

KEY = AESCipher.create_key(16)


@pytest.fixture
def env(nats_server: Server) -> Iterator[dict[str, str]]:
    settings = environment(server_environment(nats_server)["NATS_URL"], KEY)
    remove_streams(settings)
    yield settings
    remove_streams(settings)


def test_transfers_are_whole_and_the_view_follows(env: dict[str, str]) -> None:
    with ProjectionRunner(
        application_class=Wallets, projection_class=Turnover, view_class=TurnoverView, env=env
    ) as runner:
        wallets = runner.app
        assert wallets.open("ada") == 1
        assert wallets.open("grace") == 2
        assert wallets.open("ada") == 0
        wallets.pay_in("ada", Decimal(10))
        with ThreadPoolExecutor(4) as threads:
            futures = [
                threads.submit(wallets.transfer, "ada", "grace", Decimal(1)) for _ in range(6)
            ]
            last = max(future.result() for future in futures)
        with pytest.raises(Overdrawn):
            wallets.transfer("ada", "grace", Decimal(100))
        assert (wallets.balance("ada"), wallets.balance("grace")) == (Decimal(4), Decimal(6))
        runner.wait(last, timeout=10)
        assert runner.view.turnover() == Decimal(16)


def test_what_is_stored_can_only_be_read_with_the_key(env: dict[str, str]) -> None:
    with Wallets(env) as wallets:
        wallets.open("a very particular name")

    async def stored() -> bytes:
        nc = await connect(env["NATS_URL"])
        try:
            found = await Stream(nc, "es-Wallets-events").at(1)
            assert found is not None
            return found.data
        finally:
            await nc.close()

    body = asyncio.run(stored())
    assert b"particular" not in body
    assert "data_base64" in orjson.loads(body)
    with Wallets(env) as again:
        assert again.balance("a very particular name") == 0
    other = {**env, "CIPHER_KEY": AESCipher.create_key(16)}
    with Wallets(other) as stranger, pytest.raises(ValueError, match="Failed to deserialise"):
        stranger.repository.get(Wallet.create_id("a very particular name"))
