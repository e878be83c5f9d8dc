"""A leading governance instance for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.governance.world import World, governance


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with governance(tmp_path) as running:
        yield running
