"""What an older version wrote is read as the newest one; a newer one stops the reader."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from domain.errors import PoisonError, UnknownEventType
from domain.event import Event
from domain.recorded import Recorded
from domain.upcast import STEPS, current, upcaster
from domain.view import Table
from infra.codec import decode
from infra.nats.log import JetStreamLog
from infra.nats.writer import Message
from infra.views import SqliteViews
from tests.history.upcasts import RoomMeasured

T0 = datetime(2030, 1, 1, tzinfo=UTC)
SUBJECT = "events.testroom.attic"
V1 = {"room": "attic", "person": "Ada Lovelace", "celsius": 20.0}
V2 = {"room": "attic", "first": "Ada", "last": "Lovelace", "celsius": 20.0}
V3 = {"room": "attic", "first": "Ada", "last": "Lovelace", "kelvin": 293.15, "note": ""}


def body(version: int, data: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"id-{version}",
            "source": "test",
            "type": f"phoenix.testroom.RoomMeasured.v{version}",
            "subject": "attic",
            "time": T0,
            "data": data,
        }
    )


def read(version: int, data: dict[str, Any]) -> Recorded[Event]:
    return decode(SUBJECT, body(version, data), position=5, time=T0)


@pytest.mark.parametrize(("version", "data"), [(1, V1), (2, V2), (3, V3)])
def test_every_version_is_read_as_the_newest(version: int, data: dict[str, Any]) -> None:
    recorded = read(version, data)
    expected = RoomMeasured(at=T0, room="attic", first="Ada", last="Lovelace", kelvin=293.15)
    assert recorded.event == expected
    assert recorded.id == f"id-{version}"


def test_a_newer_version_is_named_with_its_place() -> None:
    with pytest.raises(UnknownEventType, match=r"RoomMeasured\.v4 at position 5 on .*older than"):
        read(4, {"anything": 1})


def test_old_data_that_its_step_cannot_read_is_damaged() -> None:
    with pytest.raises(PoisonError, match="position 5"):
        read(1, {"room": "attic"})


def test_steps_lead_forward_and_only_once() -> None:
    name = "phoenix.testroom.RoomMeasured"
    assert current(f"{name}.v1") == f"{name}.v3"
    known = dict(STEPS)
    for old, new in ((f"{name}.v1", f"{name}.v2"), (f"{name}.v9", f"{name}.v8")):
        with pytest.raises(TypeError):
            upcaster(old, new)
    with pytest.raises(TypeError):
        upcaster(f"{name}.v5", "phoenix.testroom.RoomPainted.v6")
    assert known == STEPS


class Warmth(BaseModel):
    readings: int = 0
    kelvin: float = 0


def warmer(row: Warmth | None, recorded: Recorded[Event], key: str) -> Warmth:
    assert isinstance(recorded.event, RoomMeasured)
    return Warmth(readings=(row.readings if row else 0) + 1, kelvin=recorded.event.kelvin)


WARMTH = Table(
    name="warmth",
    version=1,
    subjects=("events.testroom.*",),
    row=Warmth,
    keys=lambda recorded: (recorded.event.stream_key,),
    fold=warmer,
)


async def test_a_view_folds_all_versions_and_stops_before_a_newer_one(
    log: JetStreamLog, tmp_path: Path
) -> None:
    writer = await log.writer()
    for version, data in ((1, V1), (2, V2), (3, V3), (4, {"k": 1}), (3, V3)):
        await writer.publish([Message(SUBJECT, body(version, data))])
    views = SqliteViews(tmp_path, [WARMTH])
    with pytest.raises(UnknownEventType, match=r"v4 at position 4"):
        await views.follow(log)
    assert views.get(WARMTH, "attic") == Warmth(readings=3, kelvin=293.15)
    assert views.position == 3
    views.close()
