"""Delegation on the dashboard: an approver who is away lets somebody else answer."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.delegation import SUBJECT
from domain.governance_events import ApprovalDelegated, ApprovalGranted, DelegationEnded
from projections.governance import APPROVALS
from services.approval_dashboard.service import create
from tests.dashboard import story
from tests.dashboard.test_api import sign_in
from tests.registry.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as running_world:
        yield running_world


def form(secret: str, **changes: str) -> dict[str, str]:
    soon = story.now() + timedelta(days=2)
    values = {"delegate": "eve", "until": soon.isoformat()[:16], "reason": "on holiday"}
    return {"csrf": secret, **values, **changes}


async def events(world: World) -> list[object]:
    return [recorded.event for recorded in await world.log.read(SUBJECT)]


async def test_a_delegate_answers_in_the_approvers_name_until_it_is_ended(world: World) -> None:
    asked = await story.ask(world)
    assert "Nobody answers in anybody" in await world.get("/delegations")
    wanted = form(await sign_in(world, "bob"))
    answer = await world.client.post("/delegations/new", data=wanted)
    assert answer.status_code == 303
    (event,) = await events(world)
    assert isinstance(event, ApprovalDelegated)
    assert (event.approver, event.delegate, event.reason) == ("bob", "eve", "on holiday")
    assert event.until.isoformat()[:16] == wanted["until"]
    page = (await world.client.get(answer.headers["location"])).text
    assert "on holiday" in page
    assert "End it now" in page

    secret = await sign_in(world, "eve")
    given = {"csrf": secret, "digest": asked.digest}
    path = f"/approvals/{asked.approval_id}/approve"
    assert (await world.client.post(path, data=given)).status_code == 303
    granted = (await world.log.read(f"events.governance.{asked.intent_id}"))[-2].event
    assert isinstance(granted, ApprovalGranted)
    assert (granted.approver, granted.on_behalf_of) == ("eve", "bob")

    row = world.ctx.views.get(APPROVALS, asked.intent_id)
    assert row is not None
    assert (row.granted_by, row.hands) == (("bob",), ("eve",))

    ending = {"csrf": secret, "approver": "bob", "delegate": "eve"}
    answer = await world.client.post("/delegations/end", data=ending)
    assert answer.headers["location"] == "/delegations?done=ended"
    (_, ended) = await events(world)
    assert isinstance(ended, DelegationEnded)
    assert ended.by == "eve"
    other = await story.ask(world, "other-engine")
    given["digest"] = other.digest
    answer = await world.client.post(f"/approvals/{other.approval_id}/approve", data=given)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"until": "tomorrow"}, "until: is no date and time"),
        ({"until": "2020-01-01T00:00"}, "until: must lie in the next 30 days"),
        ({"until": "2999-01-01T00:00"}, "until: must lie in the next 30 days"),
        ({"delegate": "bob"}, "delegate: must be somebody else"),
        ({"delegate": "n" * 65}, "delegate: nobody here is called"),
        ({"delegate": "evee"}, "delegate: nobody here is called"),
        ({"reason": " "}, "reason: must say why"),
    ],
)
async def test_a_refused_delegation_comes_back_as_it_was_typed(
    world: World, changes: dict[str, str], why: str
) -> None:
    wanted = form(await sign_in(world, "bob"), **changes)
    answer = await world.client.post("/delegations/new", data=wanted)
    assert answer.status_code == 422
    assert why in answer.text
    assert f'value="{wanted["delegate"]}"' in answer.text
    assert await events(world) == []


async def test_only_an_approver_delegates_and_only_the_two_or_an_admin_end_it(
    world: World,
) -> None:
    as_eve = form(await sign_in(world, "eve"), delegate="mallory")
    assert (await world.client.post("/delegations/new", data=as_eve)).status_code == 403
    assert await events(world) == []
    given = form(await sign_in(world, "ann"), delegate="eve")
    assert (await world.client.post("/delegations/new", data=given)).status_code == 303

    ending = {"csrf": await sign_in(world, "bob"), "approver": "ann", "delegate": "eve"}
    answer = await world.client.post("/delegations/end", data=ending)
    assert answer.status_code == 403
    assert "only the two of them" in answer.text
    assert "End it now" not in answer.text
    assert len(await events(world)) == 1
    ending["delegate"] = "nobody"
    assert (await world.client.post("/delegations/end", data=ending)).status_code == 404


async def test_whoever_is_not_signed_in_reads_and_delegates_nothing(world: World) -> None:
    assert "Sign in to delegate" in await world.get("/delegations")
    answer = await world.client.post("/delegations/new", data=form(""))
    assert answer.headers["location"] == "/sign-in"
    assert await events(world) == []
