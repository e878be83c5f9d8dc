from pathlib import Path

import pytest

from infra.nats.log import JetStreamLog
from tests.audit.world import World


@pytest.fixture
def world(log: JetStreamLog, tmp_path: Path) -> World:
    return World(log, tmp_path / "data")
