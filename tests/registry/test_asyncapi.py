"""The AsyncAPI document says what is stored, and its page needs nothing from elsewhere."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.registry.asyncapi import stored
from services.registry.service import create
from tests.history.samples import known, read
from tests.registry.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as running_world:
        yield running_world


async def test_every_stored_event_type_is_described_with_its_subject(world: World) -> None:
    document = await world.get("/asyncapi.json")
    text = str(document)
    assert {full_type for full_type, _ in stored()} == set(known())
    for full_type in known():
        assert full_type in text
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {
        "intents.submit",
        "events.intent.{intent_id}",
        "events.leadership.{service}",
    } <= addresses


async def test_the_fields_of_a_stored_sample_are_the_fields_of_its_description(
    world: World,
) -> None:
    document = await world.get("/asyncapi.json")
    full_type, _, body = next(one for one in read() if ".DecisionMade." in one[0])
    assert full_type == "phoenix.governance.DecisionMade.v1"
    schema = _schema(document, "DecisionMadeData")
    import json

    assert set(json.loads(body)["data"]) <= set(schema["properties"])
    assert "at" not in schema["properties"]


async def test_the_page_is_complete_without_the_internet(world: World) -> None:
    page = await world.get("/asyncapi")
    links = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith(("/", world.url)), link
        assert (await world.client.get(link)).status_code == 200, link


def _schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    found: dict[str, Any] = next(s for key, s in schemas.items() if key.endswith(name))
    return found
