"""What every service's HTTP face does, shown on a small service of the test's own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, Field

from domain.errors import ConflictError, Invalid, NotAllowed, NotFound, TransientError
from infra.http import command_id, person_of
from infra.ports import Batch, Context, Term
from infra.views import SqliteViews
from projections.intents import INTENTS
from tests.support.context import World, running

ERRORS: dict[str, Exception] = {
    "404": NotFound("no such thing"),
    "422": Invalid("colour", "must be red or blue"),
    "403": NotAllowed("you submitted it yourself"),
    "409": ConflictError("events.x.y", expected=1, found=2),
    "503": TransientError("the log did not answer"),
    "500": RuntimeError("a secret detail"),
}


class Thing(BaseModel):
    size: int = Field(ge=1, le=9)


class Small:
    name = "small"
    version = "1.2.3"
    tier = 2
    features: Sequence[str] = ("does little",)
    dependencies: Sequence[str] = ("nats",)
    tables = (INTENTS,)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def routes(self) -> Sequence[Any]:
        @get("/fail/{code:str}")
        async def fail(code: FromPath[str]) -> None:
            raise ERRORS[code]

        @post("/things")
        async def write(data: JSONBody[Thing], request: Request[Any, Any, Any]) -> dict[str, str]:
            return {"by": person_of(request).name, "command": command_id(request)}

        @post("/compute", opt={"reads": True}, status_code=200)
        async def compute(data: JSONBody[Thing]) -> dict[str, int]:
            return {"double": data.size * 2}

        return (fail, write, compute)

    def figures(self) -> Mapping[str, object]:
        return {"things": 7}

    async def lead(self, term: Term) -> None:
        await term.ended.wait()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(Small, tmp_path) as opened:
        yield opened


async def test_the_five_udc_endpoints_have_their_fields(world: World) -> None:
    health = await world.call("GET", "/health")
    assert {
        "status",
        "service",
        "version",
        "timestamp",
        "role",
        "instance",
        "pid",
        "epoch",
        "capacity",
        "position",
        "lag",
        "things",
    } <= health.keys()
    assert (health["status"], health["role"], health["things"]) == ("active", "active", 7)
    capabilities = await world.call("GET", "/capabilities")
    assert capabilities["udc_version"] == "1.0"
    assert capabilities.keys() >= {"version", "features", "dependencies", "metadata"}
    state = await world.call("GET", "/state")
    assert state["requests_total"] >= 2
    assert state["memory_mb"] > 1
    assert {
        "errors_last_hour",
        "last_restart",
        "requests_per_minute",
        "cpu_percent",
    } <= state.keys()
    dependencies = await world.call("GET", "/dependencies")
    assert dependencies["required"] == [{"name": "nats", "status": "available"}]
    message = {
        "trace_id": "t",
        "source": "a",
        "target": "small",
        "message_type": "query",
        "payload": {},
        "timestamp": "2030-01-01T00:00:00Z",
    }
    answer = await world.call("POST", "/message", json=message)
    assert (answer["received"], answer["trace_id"], answer["result"]) == (True, "t", "success")
    await world.call("POST", "/message", json={**message, "message_type": "command"}, expect=401)
    await world.call("POST", "/message", json={**message, "message_type": "odd"}, expect=422)


async def test_the_probes_tell_life_readiness_and_leadership(world: World) -> None:
    await world.call("GET", "/livez")
    await world.call("GET", "/readyz")
    await world.call("GET", "/leader")
    world.ctx.role, world.ctx.ready = "standby", False
    await world.call("GET", "/leader", expect=503)
    await world.call("GET", "/readyz", expect=503)
    assert (await world.call("GET", "/health"))["status"] == "inactive"


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_every_error_is_a_problem_document(world: World, code: str) -> None:
    answer = await world.client.get(f"/fail/{code}")
    assert answer.status_code == int(code)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == int(code)
    assert body["title"]
    assert "secret" not in answer.text
    if code == "422":
        assert body["errors"] == [{"field": "colour", "message": "must be red or blue"}]
    if code == "503":
        assert answer.headers["retry-after"] == "1"


async def test_unknown_paths_and_methods_are_problems_too(world: World) -> None:
    for method, path, code in (("GET", "/nowhere", 404), ("DELETE", "/things", 405)):
        answer = await world.client.request(method, path, headers={"Authorization": "Bearer ann"})
        assert answer.status_code == code
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_write_needs_a_known_token_and_a_computation_does_not(world: World) -> None:
    await world.call("POST", "/things", json={"size": 2}, expect=401)
    await world.call("POST", "/things", json={"size": 2}, token="stranger", expect=401)
    answer = await world.call("POST", "/things", json={"size": 2}, token="ann", expect=201)
    assert answer["by"] == "ann"
    assert (await world.call("POST", "/compute", json={"size": 2})) == {"double": 4}
    await world.call("GET", "/health", token="stranger", expect=401)


async def test_an_invalid_body_names_the_field(world: World) -> None:
    answer = await world.call("POST", "/compute", json={"size": 12}, expect=422)
    assert answer["field"] == "size"
    assert "9" in answer["detail"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"size": "\xff"}', b"[" * 100_000])
async def test_a_body_that_cannot_be_read_is_the_senders_fault(world: World, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await world.client.post("/compute", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_idempotency_key_makes_one_command_for_one_person(world: World) -> None:
    async def command(token: str, key: str) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await world.call(
            "POST", "/things", json={"size": 2}, token=token, expect=201, headers=headers
        )
        return str(answer["command"])

    assert await command("ann", "k") == await command("ann", "k")
    assert await command("ann", "k") != await command("bob", "k")
    assert await command("ann", "") != await command("ann", "")


async def test_a_query_can_wait_for_a_position(world: World) -> None:
    end = await world.log.last_position()
    await world.call("GET", f"/capabilities?after={end}")
    await world.call("GET", "/capabilities?after=soon", expect=422)


async def test_a_position_that_does_not_come_in_time_is_a_503(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = SqliteViews.reach

    async def soon(self: SqliteViews, position: int, *, timeout_s: float) -> None:
        assert timeout_s == 5.0
        await reach(self, position, timeout_s=0.05)

    monkeypatch.setattr(SqliteViews, "reach", soon)
    beyond = await world.log.last_position() + 1
    for headers, query in (({}, f"?after={beyond}"), ({"X-Log-Position": f"{beyond}"}, "")):
        answer = await world.client.get(f"/capabilities{query}", headers=headers)
        assert answer.status_code == 503
        assert f"not {beyond}" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"


async def test_the_lag_of_the_views_is_seen_in_health_and_metrics(world: World) -> None:
    views = world.ctx.views
    assert isinstance(views, SqliteViews)
    views.apply(Batch((), views.position, 7))
    assert (await world.call("GET", "/health"))["lag"] == 7
    text = (await world.client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (lag,) = families["phoenix_log_lag"].samples
    (position,) = families["phoenix_log_position"].samples
    assert (lag.value, position.value) == (7, views.position)


async def test_metrics_count_requests_by_route(world: World) -> None:
    await world.call("GET", "/health")
    text = (await world.client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = [
        sample
        for sample in families["phoenix_http_requests"].samples
        if sample.name.endswith("_total") and sample.labels["route"] == "/health"
    ]
    assert sample.value == 1
    assert families["phoenix_leader"].samples[0].value == 1


async def test_the_api_pages_load_without_a_network(world: World) -> None:
    page = (await world.client.get("/schema")).text
    assert "http://" not in page.replace("http://test", "")
    assert "https://" not in page
    for path in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/_docs/static/{path}" in page
        assert (await world.client.get(f"/_docs/static/{path}")).status_code == 200
    schema = (await world.client.get("/schema/openapi.json")).json()
    assert "/things" in schema["paths"]
