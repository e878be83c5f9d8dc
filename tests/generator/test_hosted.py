"""A generated service behind the platform's HTTP face, as the instance host mounts it."""

import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.generator.projects import importable
from tests.generator.specs import REVENUE
from tests.support.context import World, running


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    from domain.spec.model import read_spec

    spec = read_spec({**REVENUE, "service_name": "hosted-revenue", "tier": 1})
    return importable(spec, tmp_path_factory.mktemp("hosted"))


@pytest.fixture
async def world(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.popo")
    create = importlib.import_module(f"{package}.service").create
    async with running(create, tmp_path) as found:
        service: Any = found.service
        try:
            yield found
        finally:
            service.close()


async def ask(world: World, method: str, path: str, expect: int = 200, **more: Any) -> Any:
    answer = await world.client.request(method, path, **more)
    assert answer.status_code == expect, answer.text
    return answer.json()


async def test_the_five_udc_endpoints_answer(world: World) -> None:
    health = await ask(world, "GET", "/health")
    assert (health["status"], health["service"], health["role"]) == (
        "active",
        "hosted-revenue",
        "active",
    )
    assert health["records"] == {"revenues": 0}
    capabilities = await ask(world, "GET", "/capabilities")
    assert capabilities["features"] == ["record revenues", "monthly report"]
    assert capabilities["metadata"]["tier"] == 1
    assert (await ask(world, "GET", "/state"))["requests_total"] >= 2
    assert (await ask(world, "GET", "/dependencies"))["missing"] == []
    message = {
        "trace_id": "t",
        "source": "test",
        "target": "hosted-revenue",
        "message_type": "status",
        "timestamp": "2030-01-01T00:00:00Z",
    }
    assert (await ask(world, "POST", "/message", json=message))["received"] is True


async def test_records_are_written_without_a_token_on_loopback(world: World) -> None:
    body = {"customer": "Ada", "amount": "0.10", "booked_on": "2026-01-05"}
    made = await ask(world, "POST", "/revenues", 201, json=body)
    assert (await ask(world, "GET", f"/revenues/{made['id']}"))["amount"] == "0.10"
    rows = (await ask(world, "GET", "/reports/revenue_by_month"))["rows"]
    assert rows == [{"month": "2026-01", "value": "0.10"}]
    assert (await ask(world, "GET", "/health"))["records"] == {"revenues": 1}


async def test_problems_are_problem_details(world: World) -> None:
    answer = await world.client.post("/revenues", json={"amount": "x"})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert {error["field"] for error in answer.json()["errors"]} == {
        "customer",
        "amount",
        "booked_on",
    }
