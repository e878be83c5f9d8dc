"""Second thoughts on the dashboard: an override of one decision, a trial of other policies."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.governance_events import ApprovalEscalated, DecisionMade, DecisionOverridden
from domain.intent import IntentQueued
from services.approval_dashboard.service import create
from services.governance.service import create as governance
from tests.dashboard import story
from tests.dashboard.test_api import sign_in
from tests.registry.world import World, running

BLOCK = {"policy_id": "block_domain", "conditions": ["tier == 2"], "outcome": "blocked"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path / "dashboard") as running_world:
        yield running_world


@pytest.fixture
async def rules(world: World, tmp_path: Path) -> AsyncIterator[World]:
    """Governance with one decision on record, where the dashboard finds it."""
    async with running(governance, tmp_path / "governance") as running_world:
        await story.auto(running_world)
        world.ctx.host_url = lambda port: (
            running_world.url if port == 8213 else "http://127.0.0.1:1"
        )
        yield running_world


async def test_an_approver_decides_differently_with_a_reason(world: World) -> None:
    asked = await story.ask(world)
    page = await world.get(f"/intents/{asked.intent_id}")
    assert "Sign in to decide" in page
    secret = await sign_in(world, "bob")
    form = {"csrf": secret, "decision": "auto_approve", "reason": ""}
    path = f"/intents/{asked.intent_id}/override"

    without = await world.client.post(path, data=form)
    assert without.status_code == 422
    assert "must say why" in without.text
    answer = await world.client.post(path, data=form | {"reason": "looked at in person"})
    assert answer.status_code == 303

    history = await world.log.read(f"events.governance.{asked.intent_id}")
    event = history[-1].event
    assert isinstance(event, DecisionOverridden)
    assert (event.by, event.decision) == ("bob", "auto_approve")
    page = (await world.client.get(answer.headers["location"])).text
    assert "Overridden by bob: auto approve" in page
    assert "Block it" in page  # the next thought would be the other way

    queued = (await world.log.read(f"events.intent.{asked.intent_id}"))[0].event
    assert isinstance(queued, IntentQueued)
    await world.append(queued.model_copy(update={"attempt": 2}))
    page = await world.get(f"/intents/{asked.intent_id}")
    assert "Block it" in page  # also before the new attempt is decided


async def test_a_question_that_was_put_to_everybody_says_so(world: World) -> None:
    asked = await story.ask(world)
    await world.append(
        ApprovalEscalated(
            intent_id=asked.intent_id,
            at=story.now(),
            approval_id=asked.approval_id,
            to=("ann", "bob"),
            expires_at=asked.expires_at,
        )
    )
    assert "it was put to ann, bob" in await world.get("/")


async def test_history_shows_the_override_above_the_decision_of_the_next_attempt(
    world: World,
) -> None:
    asked = await story.ask(world)
    history = await world.log.read(f"events.governance.{asked.intent_id}")
    made = next(r.event for r in history if isinstance(r.event, DecisionMade))
    await world.append(
        DecisionOverridden(
            intent_id=asked.intent_id,
            at=made.at,
            decision_id=made.decision_id,
            decision="auto_approve",
            by="bob",
            reason="looked at in person",
        ),
        made.model_copy(update={"attempt": 2, "decision_id": "second", "decision": "blocked"}),
        correlation_id=asked.intent_id,
    )
    page = await world.get("/history")
    assert page.count("then auto approve by bob: looked at in person") == 2


@pytest.mark.parametrize(
    ("person", "decision", "status"),
    [("eve", "auto_approve", 403), ("bob", "requires_approval", 422)],
)
async def test_an_override_that_may_not_be_is_refused(
    world: World, person: str, decision: str, status: int
) -> None:
    asked = await story.ask(world)
    before = await world.log.last_position()
    form = {"csrf": await sign_in(world, person), "decision": decision, "reason": "because"}
    answer = await world.client.post(f"/intents/{asked.intent_id}/override", data=form)
    assert answer.status_code == status
    assert await world.log.last_position() == before


async def test_a_candidate_is_tried_on_all_decisions(world: World, rules: World) -> None:
    before = await rules.log.last_position()
    form = {"csrf": await sign_in(world, "bob"), "policies": json.dumps(BLOCK)}
    page = (await world.client.post("/policies/simulate", data=form)).text
    assert "1 of 1 decisions would change" in page
    assert "revenue-analytics" in page
    assert "block_domain holds" in page
    assert await rules.log.last_position() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        (json.dumps(BLOCK | {"conditions": ["tier == 'two'"]}), "no matching overload"),
        (json.dumps(BLOCK | {"outcome": "perhaps"}), "outcome"),
    ],
)
async def test_a_refused_candidate_comes_back_as_it_was_typed(
    world: World, rules: World, text: str, why: str
) -> None:
    form = {"csrf": await sign_in(world, "bob"), "policies": text}
    answer = await world.client.post("/policies/simulate", data=form)
    assert answer.status_code == 422
    assert why in answer.text
    assert "block_domain" in answer.text or text == "{"


async def test_governance_that_is_away_is_said(world: World) -> None:
    world.ctx.host_url = lambda port: "http://127.0.0.1:1"
    form = {"csrf": await sign_in(world, "bob"), "policies": json.dumps(BLOCK)}
    answer = await world.client.post("/policies/simulate", data=form)
    assert answer.status_code == 503
    assert "the governance service does not answer" in answer.text
