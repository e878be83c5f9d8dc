"""What an intent waits for after its decision: a build that a person starts, a SPEC in question."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from litestar import Litestar, Request, Response, post
from litestar.params import FromPath

from domain.delivery_events import BuildApproved, SpecAccepted, SpecNeedsDetail
from services.approval_dashboard.service import create
from services.sovereign_factory.service import create as sovereign_factory
from tests.dashboard import story
from tests.dashboard.test_api import sign_in
from tests.registry.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as running_world:
        yield running_world


async def test_a_build_that_waits_for_a_person_goes_on_with_one_click(world: World) -> None:
    build = await story.held(world)
    secret = await sign_in(world, "bob")
    page = await world.get("/")
    assert "Build it" in page
    assert "One thing waits for you" in page

    form = {"csrf": secret, "step": "build"}
    answer = await world.client.post(f"/builds/{build}/approve", data=form)
    again = await world.client.post(f"/builds/{build}/approve", data=form)
    assert (answer.status_code, again.status_code) == (303, 303)  # and recorded once

    (event,) = [r.event for r in await world.log.read(f"events.build.{build}")]
    assert isinstance(event, BuildApproved)
    assert (event.by, event.step) == ("bob", "build")
    (recorded,) = await world.log.read(f"events.build.{build}")
    assert recorded.correlation_id == event.intent_id
    page = (await world.client.get(answer.headers["location"])).text
    assert "The build of room-booking starts." in page
    assert "Nothing waits for you" in page


async def test_only_an_approver_lets_a_build_go_on(world: World) -> None:
    build = await story.held(world)
    secret = await sign_in(world, "eve")
    form = {"csrf": secret, "step": "build"}
    answer = await world.client.post(f"/builds/{build}/approve", data=form)
    assert answer.status_code == 403
    assert await world.log.read(f"events.build.{build}") == []


@pytest.mark.parametrize("step", ["", "publish"])
async def test_a_step_that_does_not_exist_is_not_found(world: World, step: str) -> None:
    build = await story.held(world)
    secret = await sign_in(world, "bob")
    form = {"csrf": secret, "step": step}
    answer = await world.client.post(f"/builds/{build}/approve", data=form)
    assert answer.status_code == 404


async def test_the_summary_counts_everything_that_waits(world: World) -> None:
    await story.held(world)
    await story.asks(world)
    told = await world.get("/api/dashboard/summary")
    assert (told["pending_approvals"], told["pending_steps"], told["pending_questions"]) == (
        0,
        1,
        1,
    )


class Factory:
    """Another service's endpoint, as far as the dashboard can see it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Any]] = []
        self.answer: tuple[int, dict[str, Any]] = (
            200,
            {"status": "accepted", "questions": [], "position": 1},
        )

    def app(self) -> Litestar:
        factory = self

        @post("/specs/{intent_id:str}/detail", status_code=200)
        async def detail(
            intent_id: FromPath[str], request: Request[Any, Any, Any]
        ) -> Response[Any]:
            token = request.headers["authorization"]
            factory.heard.append((intent_id, token, await request.json()))
            status, body = factory.answer
            return Response(body, status_code=status)

        return Litestar([detail], openapi_config=None)


@asynccontextmanager
async def served(app: Litestar) -> AsyncIterator[str]:
    """The app on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(cast(Any, app), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task


@pytest.fixture
async def factory(world: World) -> AsyncIterator[Factory]:
    one = Factory()
    async with served(one.app()) as url:
        world.ctx.host_url = lambda port: url if port == 8210 else "http://127.0.0.1:1"
        yield one


async def test_questions_are_answered_in_the_persons_name(world: World, factory: Factory) -> None:
    asked = await story.asks(world)
    secret = await sign_in(world, "bob")
    page = await world.get(f"/intents/{asked.intent_id}")
    assert "Which records does it keep?" in page
    spec = {"records": [{"name": "note", "fields": []}]}
    form = {"csrf": secret, "spec": json.dumps(spec)}

    answer = await world.client.post(f"/intents/{asked.intent_id}/detail", data=form)

    assert factory.heard == [
        (asked.intent_id, "Bearer bob", {"spec": spec, "without_custom": False})
    ]
    assert "without_custom" not in page  # this intent wants no code that a model writes
    assert answer.headers["location"] == f"/intents/{asked.intent_id}?done=accepted"
    page = (await world.client.get(answer.headers["location"])).text
    assert "the SPEC is accepted" in page


@pytest.mark.parametrize(
    ("text", "answer", "status", "why"),
    [
        ("{", None, 422, "is not JSON"),
        (
            "{}",
            (422, {"detail": "spec.records: is missing", "field": "spec.records"}),
            422,
            "is missing",
        ),
        ("{}", (409, {"detail": "does not wait for detail"}), 409, "does not wait for detail"),
        ("{}", (503, {"detail": "the log is away"}), 503, "the log is away"),
    ],
)
async def test_a_refused_answer_comes_back_with_what_was_typed(
    world: World,
    factory: Factory,
    text: str,
    answer: tuple[int, dict[str, Any]] | None,
    status: int,
    why: str,
) -> None:
    factory.answer = answer or factory.answer
    asked = await story.asks(world)
    secret = await sign_in(world, "bob")
    form = {"csrf": secret, "spec": text}
    told = await world.client.post(f"/intents/{asked.intent_id}/detail", data=form)
    assert told.status_code == status
    assert why in told.text
    assert f"required>{text.replace('<', '&lt;')}</textarea>" in told.text


async def test_the_code_that_a_model_was_to_write_can_be_given_up(
    world: World, tmp_path: Path
) -> None:
    """Against the factory itself, that has no model here."""
    wish = story.wishes()
    async with running(sovereign_factory, tmp_path / "factory", lead=True) as factory:
        world.ctx.host_url = lambda port: factory.url if port == 8210 else "http://127.0.0.1:1"
        await story.cleared(factory, wish)
        (asks,) = await factory.recorded(f"events.spec.{wish.intent_id}")
        assert isinstance(asks, SpecNeedsDetail)
        await story.cleared(world, wish)
        await world.append(asks)
        await story.services(world)  # a log as long as the factory's, whose position is waited for
        form = {"csrf": await sign_in(world, "bob"), "spec": "{}"}
        page = await world.get(f"/intents/{wish.intent_id}")
        assert "Answer with without_custom" in page
        assert 'name="without_custom"' in page

        path = f"/intents/{wish.intent_id}/detail"
        still = await world.client.post(path, data=form)
        assert still.status_code == 422
        assert "no model is set up" in still.text
        answer = await world.client.post(path, data=form | {"without_custom": "yes"})

        assert answer.headers["location"] == f"/intents/{wish.intent_id}?done=accepted"
        events = await factory.log.read(f"events.spec.{wish.intent_id}")
        accepted = events[-1]
        assert isinstance(accepted.event, SpecAccepted)
        assert accepted.actor == "bob"


async def test_a_factory_that_is_away_is_no_lost_answer(world: World) -> None:
    world.ctx.host_url = lambda port: "http://127.0.0.1:1"
    asked = await story.asks(world)
    secret = await sign_in(world, "bob")
    form = {"csrf": secret, "spec": '{"records": []}'}
    told = await world.client.post(f"/intents/{asked.intent_id}/detail", data=form)
    assert told.status_code == 503
    assert "the sovereign-factory service does not answer" in told.text


async def test_the_answer_needs_the_sessions_secret(world: World, factory: Factory) -> None:
    asked = await story.asks(world)
    await sign_in(world, "bob")
    form = {"csrf": "guess", "spec": "{}"}
    told = await world.client.post(f"/intents/{asked.intent_id}/detail", data=form)
    assert (told.status_code, factory.heard) == (403, [])
