from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.phoenix.running import Running, running_group
from tests.support.nats import Server, running_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
async def tiny(server: Server) -> AsyncIterator[Running]:
    async with running_group(server) as running:
        yield running
