"""What was ever stored can still be read and folded. A sample is added, never changed."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from domain.event import EVENT_TYPES, Event
from domain.recorded import Recorded
from domain.upcast import STEPS, current
from domain.view import Table, apply
from infra.codec import decode, encode
from infra.ports import Meta
from tests.history.samples import known, read
from tests.support.memory import matches
from tests.support.tables import tables

T0 = datetime(2030, 1, 1, tzinfo=UTC)
SAMPLES = read()


def decoded(position: int, subject: str, body: bytes) -> Recorded[Event]:
    return decode(subject, body, position=position, time=T0)


def test_every_step_leads_to_a_version_that_is_read_and_has_samples_of_the_old_one() -> None:
    sampled = {full_type for full_type, _, _ in SAMPLES}
    for old in STEPS:
        if old.startswith("phoenix.test"):
            continue  # another test's
        assert old not in EVENT_TYPES, f"{old} has a class and a step"
        assert current(old) in EVENT_TYPES
        assert old in sampled, f"keep the samples of {old}"


def test_every_event_type_has_a_sample() -> None:
    missing = known().keys() - {full_type for full_type, _, _ in SAMPLES}
    assert not missing, "run: python -m tests.history.add"


@pytest.mark.parametrize(("full_type", "subject", "body"), SAMPLES, ids=[s[0] for s in SAMPLES])
def test_a_stored_sample_is_read_with_nothing_lost(
    full_type: str, subject: str, body: bytes
) -> None:
    recorded = decoded(7, subject, body)
    assert recorded.event.full_type == current(full_type)
    assert recorded.subject == recorded.event.subject
    meta = Meta(
        command_id="",
        actor=recorded.actor,
        correlation_id=recorded.correlation_id,
        source=recorded.source,
    )
    again = encode(recorded.event, id=recorded.id, meta=meta, epoch=recorded.epoch)
    stored = orjson.loads(body)
    if current(full_type) == full_type:  # an older version has become another
        assert stored["data"].items() <= orjson.loads(again)["data"].items()
    assert decoded(7, subject, again) == recorded


@pytest.mark.parametrize(("full_type", "subject", "body"), SAMPLES, ids=[s[0] for s in SAMPLES])
def test_a_sample_reads_the_same_however_it_is_laid_out(
    full_type: str, subject: str, body: bytes
) -> None:
    stored = orjson.loads(body)
    if full_type not in EVENT_TYPES:
        return  # an older version goes through its step
    fields = {**stored["data"], "at": stored["time"]}
    expected = EVENT_TYPES[full_type].model_validate(fields)
    spaced = orjson.dumps(stored, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    for laid_out in (body, spaced, json.dumps(stored).encode()):  # the last one with escapes
        assert decoded(7, subject, laid_out).event == expected
    other = {**stored, "data": {"at": "1999-01-01T00:00:00Z", **stored["data"]}}
    assert decoded(7, subject, orjson.dumps(other)).event == expected  # the envelope's counts


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_every_sample_folds_into_every_view_that_wants_it(table: Table[Any]) -> None:
    rows: dict[str, Any] = {}
    wanted = 0
    for position, (_, subject, body) in enumerate(SAMPLES, 1):
        if any(matches(pattern, subject) for pattern in table.subjects):
            rows = apply(table, rows, decoded(position, subject, body))
            wanted += 1
    assert wanted or all(pattern.startswith("intents.") for pattern in table.subjects)
