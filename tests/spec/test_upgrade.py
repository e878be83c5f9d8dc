"""Upgrades keep the data: what stored records may not fit is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_events import ServiceRegistered
from domain.spec.model import read_spec
from domain.spec.upgrade import unsafe_changes
from services.sovereign_factory.service import create
from tests.spec.intents import ORDERS, intent
from tests.spec.test_factory import clear, settled
from tests.support.context import T0, running

HEAD = {"service_name": "desk", "purpose": "Keep the orders of a small shop"}
Change = Callable[[Any], object]


def changed(change: Change) -> dict[str, Any]:
    document = json.loads(json.dumps(ORDERS))
    change(document["records"])
    return {**HEAD, **document, "reports": [], "rules": []}


def between(change: Change) -> list[str]:
    old = read_spec(changed(lambda records: None))
    return [problem.path for problem in unsafe_changes(old, read_spec(changed(change)))]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda r: r.pop(1), "records"),
        (lambda r: r[1]["fields"].pop(3), "records[1].fields"),
        (lambda r: r[1]["fields"][1].update(type="int", min=None), "records[1].fields[1].type"),
        (lambda r: r[1]["fields"][3].update(required=True), "records[1].fields[3].required"),
        (lambda r: r[0]["fields"][0].update(unique=True), "records[0].fields[0].unique"),
        (lambda r: r[0]["fields"][0].update(personal=True), "records[0].fields[0].personal"),
        (lambda r: r[0]["fields"][0].update(max_length=10), "records[0].fields[0].max_length"),
        (lambda r: r[1]["fields"][1].update(min="5"), "records[1].fields[1].min"),
        (lambda r: r[1]["fields"][1].update(max="5"), "records[1].fields[1].max"),
        (lambda r: r[1]["states"]["transitions"].pop(2), "records[1].states"),
        (lambda r: r[1].pop("states"), "records[1].states"),
        (
            lambda r: r[0]["fields"].append({"name": "vat", "type": "text", "required": True}),
            "records[0].fields[2]",
        ),
    ],
)
def test_what_stored_records_may_not_fit_is_unsafe(change: Change, place: str) -> None:
    assert between(change) == [place]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.append({"name": "note", "fields": [{"name": "text", "type": "text"}]}),
        lambda r: r[0]["fields"].append({"name": "vat", "type": "text"}),
        lambda r: r[0]["fields"].append(
            {"name": "vip", "type": "bool", "required": True, "default": False}
        ),
        lambda r: r[0]["fields"][0].update(max_length=100, required=False),
        lambda r: r[0]["fields"][1].update(type="text", unique=False),
        lambda r: r[1]["fields"][1].update(min="0"),
        lambda r: r[1]["states"]["transitions"].append(
            {"command": "deliver", "from": ["shipped"], "to": "delivered"}
        ),
    ],
)
def test_what_every_stored_record_fits_is_safe(change: Change) -> None:
    assert between(change) == []


async def test_the_factory_asks_before_it_breaks_a_running_service(tmp_path: Path) -> None:
    async with running(create, tmp_path) as world:
        first = intent(spec=ORDERS)
        await clear(world, first)
        await settled(world)
        await world.append(ServiceRegistered(
            name=first.service_name, at=T0, version="1.0.0", tier=2, port=8300, url="http://x",
            intent_id=first.intent_id,
        ))  # fmt: skip
        smaller = {"records": ORDERS["records"][:1]}
        second = intent(intent_id="b" * 8, spec=smaller)
        await clear(world, second)
        row = await settled(world, second.intent_id)
        assert row.status == "needs_detail"
        assert any("order is gone" in question for question in row.questions)
        body = {"spec": ORDERS}
        answer = await world.call(
            "POST", f"/specs/{second.intent_id}/detail", json=body, token="ann"
        )
        assert answer["status"] == "accepted"
