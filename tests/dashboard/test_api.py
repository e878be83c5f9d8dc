"""The dashboard's endpoints and forms, without a browser."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.governance_events import (
    ApprovalBound,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    DecisionOverridden,
    ModeChanged,
    Policy,
    PolicyAdopted,
    PolicyRetired,
    Usage,
)
from domain.policy import Bundle, bundle_after
from infra.ports import Write
from infra.trust import TRUST
from infra.vouching import vouched
from services.approval_dashboard.service import create
from services.approval_dashboard.session import KEY_FILE
from tests.dashboard import story
from tests.registry.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(create, tmp_path) as running_world:
        yield running_world


async def governance_events(world: World, intent_id: str) -> list[Any]:
    return [r.event for r in await world.log.read(f"events.governance.{intent_id}")]


async def sign_in(world: World, name: str) -> str:
    """Sign the world's client in; return the secret that its forms carry."""
    answer = await world.client.get("/sign-in", params={"token": name})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    page = await world.client.get("/")
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return found.group(1)


async def test_what_waits_is_shown_with_everything_that_is_needed_to_decide(world: World) -> None:
    asked = await story.ask(world)

    answer = await world.get("/api/approvals/pending")

    (item,) = answer["items"]
    assert answer["total"] == 1
    assert (item["approval_id"], item["digest"]) == (asked.approval_id, asked.digest)
    assert (item["tier"], item["risk_level"], item["alignment_score"]) == (0, "low", 0.95)
    assert item["intent"]["purpose"] == story.PURPOSE
    assert item["assessment"]["evidence"][0]["points"] == 0.35
    values = {c["policy_id"]: c["value"] for c in item["conditions"]}
    assert values["require_approval_tier0"] is True


async def test_an_approval_is_recorded_with_the_person_and_the_digest(world: World) -> None:
    asked = await story.ask(world)
    path = f"/api/approvals/{asked.approval_id}/approve"

    answer = await world.call("POST", path, {"comment": "fine"}, token="bob")

    *_, granted, bound = await governance_events(world, asked.intent_id)
    assert isinstance(granted, ApprovalGranted)
    assert isinstance(bound, ApprovalBound)
    assert (bound.bundle_digest, bound.policies) == ("", 0)  # no policy is on the record here
    assert (granted.approver, granted.digest, granted.comment) == ("bob", asked.digest, "fine")
    assert answer["status"] == "granted"
    assert answer["position"] == await world.log.last_position()
    assert (await world.get("/api/approvals/pending"))["items"] == []


async def test_approving_needs_no_body_and_takes_the_intents_id_too(world: World) -> None:
    asked = await story.ask(world)
    answer = await world.client.post(
        f"/api/approvals/{asked.intent_id}/approve", headers={"Authorization": "Bearer bob"}
    )
    assert answer.status_code == 200, answer.text


async def test_an_intents_id_alone_says_yes_only_to_what_must_have_been_seen(world: World) -> None:
    asked = await story.ask(world)
    again = await story.ask_again(
        world, asked
    )  # under changed policies: what was seen, old or new?
    path = f"/api/approvals/{asked.intent_id}/approve"
    answer = await world.call("POST", path, {}, token="bob", expect=409)
    assert f"the newest is {again.approval_id}" in answer["detail"]
    assert not any(
        isinstance(event, ApprovalGranted)
        for event in await governance_events(world, asked.intent_id)
    )


async def test_the_same_answer_twice_is_recorded_once(world: World) -> None:
    asked = await story.ask(world)
    path = f"/api/approvals/{asked.approval_id}/approve"
    first = await world.call("POST", path, {}, token="bob")
    second = await world.call("POST", path, {}, token="bob")
    assert first["position"] == second["position"]
    events = await governance_events(world, asked.intent_id)
    assert sum(isinstance(event, ApprovalGranted) for event in events) == 1


async def test_what_was_shown_must_be_what_is_asked(world: World) -> None:
    asked = await story.ask(world)
    path = f"/api/approvals/{asked.approval_id}/approve"
    await world.call("POST", path, {"digest": "0" * 64}, token="bob", expect=409)
    await world.call("POST", path, {"digest": asked.digest}, token="bob")


async def test_a_question_of_other_policies_than_those_in_force_is_not_approved(
    world: World,
) -> None:
    asked = await story.ask(world)
    path = f"/api/approvals/{asked.approval_id}/approve"
    await story.rules(world)  # adopted since, so other ones than the decision's
    answer = await world.call("POST", path, {"digest": asked.digest}, token="bob", expect=409)
    assert "the policies changed since it was asked" in answer["detail"]

    again = await story.ask_again(world, asked)
    for body in ({"digest": asked.digest}, {}):
        answer = await world.call("POST", path, body, token="bob", expect=409)
        assert f"it was asked again since, as {again.approval_id}" in answer["detail"]
    found = await world.get(f"/api/approvals/{asked.approval_id}")
    assert (found["approval_id"], found["status"]) == (again.approval_id, "pending")


@pytest.mark.parametrize("changes", [True, False], ids=["other policies", "the same policies"])
async def test_a_policy_adopted_between_look_and_append_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    await story.rules(world)
    adoptions = [r.event for r in await world.log.read("events.governance.policies")]
    in_force = reduce(bundle_after, adoptions, Bundle(policies=())).digest
    asked = await story.ask(world, bundle_digest=in_force)
    put, adopted = world.log.append, asyncio.Event()

    async def just_before(writes: Sequence[Write], **given: Any) -> tuple[int, ...]:
        if not adopted.is_set():
            adopted.set()
            policy = Policy(policy_id="freeze", conditions=("tier == 0",), outcome="blocked")
            given_up = PolicyRetired(
                at=story.now(), policy_id="freeze", bundle_digest="d" * 64, by="ann", reason="no"
            )
            await world.append(
                PolicyAdopted(at=story.now(), policy=policy, bundle_digest="d" * 64, by="ann")
            )
            if not changes:  # taken back at once: the digest is what it was
                await world.append(given_up)
        return await put(writes, **given)

    monkeypatch.setattr(world.log, "append", just_before)
    path = f"/api/approvals/{asked.approval_id}/approve"
    await world.call("POST", path, {}, token="bob", expect=409 if changes else 200)

    events = await governance_events(world, asked.intent_id)
    assert adopted.is_set()
    if changes:
        assert not any(isinstance(event, ApprovalGranted | ApprovalBound) for event in events)
        return
    *_, granted, bound = events
    newest = await world.log.last("events.governance.policies")
    assert isinstance(granted, ApprovalGranted)
    assert isinstance(bound, ApprovalBound)
    assert newest is not None
    assert (bound.approval_id, bound.policies) == (asked.approval_id, newest.position)


@pytest.mark.parametrize("digest", [True, False])
async def test_a_no_by_the_id_of_a_question_that_was_asked_again_ends_the_newest(
    world: World, digest: bool
) -> None:
    asked = await story.ask(world)
    again = await story.ask_again(world, asked)
    path = f"/api/approvals/{asked.approval_id}/reject"
    body = {"reason": "not this quarter"} | ({"digest": asked.digest} if digest else {})
    await world.call("POST", path, body, token="eve", expect=403)
    other = {**body, "digest": again.digest}  # not what was shown under this id
    await world.call("POST", path, other, token="bob", expect=409)

    answer = await world.call("POST", path, body, token="bob")

    *_, rejected = await governance_events(world, asked.intent_id)
    assert isinstance(rejected, ApprovalRejected)
    assert (rejected.approval_id, rejected.digest) == (again.approval_id, asked.digest)
    assert (answer["approval_id"], answer["status"]) == (again.approval_id, "rejected")
    assert (await world.get("/api/approvals/pending"))["items"] == []
    repeated = await world.call("POST", path, body, token="bob")
    assert repeated["position"] == answer["position"]
    await world.call("POST", path, body, token="ann", expect=409)  # it has ended


@pytest.mark.parametrize(
    ("action", "expect"), [("reject", 200), ("approve", 409)], ids=["reject", "approve"]
)
async def test_a_question_asked_again_while_it_is_answered_takes_a_no_and_not_a_yes(
    world: World, monkeypatch: pytest.MonkeyPatch, action: str, expect: int
) -> None:
    asked = await story.ask(world)
    put, answered = world.log.append, asyncio.Event()

    async def just_too_late(writes: Sequence[Write], **given: Any) -> tuple[int, ...]:
        if not answered.is_set():  # between the dashboard's look and its append
            answered.set()
            await story.ask_again(world, asked)
        return await put(writes, **given)

    monkeypatch.setattr(world.log, "append", just_too_late)
    path = f"/api/approvals/{asked.approval_id}/{action}"
    body = {"reason": "no"} if action == "reject" else {}
    await world.call("POST", path, body, token="bob", expect=expect)

    events = await governance_events(world, asked.intent_id)
    assert answered.is_set()
    if action == "approve":
        assert not any(isinstance(event, ApprovalGranted) for event in events)
        return
    *_, again, last = events
    assert isinstance(again, ApprovalRequested)
    assert isinstance(last, ApprovalRejected)
    assert last.approval_id == again.approval_id != asked.approval_id


async def test_the_form_of_a_question_that_was_asked_again_still_says_no(world: World) -> None:
    asked = await story.ask(world)
    secret = await sign_in(world, "bob")
    await story.ask_again(world, asked)
    await world.seen()
    path, form = f"/approvals/{asked.approval_id}", {"digest": asked.digest, "csrf": secret}
    assert (await world.client.post(f"{path}/approve", data=form)).status_code == 409
    answer = await world.client.post(f"{path}/reject", data={**form, "reason": "no"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/?done=rejected&about={asked.intent_id}"


async def test_a_rejection_needs_a_reason_and_keeps_it(world: World) -> None:
    asked = await story.ask(world)
    path = f"/api/approvals/{asked.approval_id}/reject"
    for empty in ({}, {"reason": "  "}):
        problem = await world.call("POST", path, empty, token="bob", expect=422)
        assert problem["field"] == "reason"
    await world.call("POST", path, {"reason": "not this quarter"}, token="bob")
    *_, rejected = await governance_events(world, asked.intent_id)
    assert isinstance(rejected, ApprovalRejected)
    assert (rejected.approver, rejected.reason) == ("bob", "not this quarter")


async def test_only_approvers_answer_and_nobody_approves_their_own(world: World) -> None:
    asked = await story.ask(world, by="bob")
    path = f"/api/approvals/{asked.approval_id}/approve"
    await world.call("POST", path, {}, expect=401)
    await world.call("POST", path, {}, token="eve", expect=403)
    await world.call("POST", path, {}, token="bob", expect=403)
    await world.call("POST", path, {}, token="ann")


async def test_an_expired_question_cannot_be_approved(world: World) -> None:
    asked = await story.ask(world, ttl=timedelta(seconds=-1))
    path = f"/api/approvals/{asked.approval_id}/approve"
    problem = await world.call("POST", path, {}, token="bob", expect=409)
    assert "expired" in problem["detail"]


async def test_an_unknown_approval_is_not_found(world: World) -> None:
    await world.call("POST", "/api/approvals/nothing/approve", {}, token="bob", expect=404)


async def test_each_answer_of_a_batch_has_its_own_result(world: World) -> None:
    one, two = await story.ask(world, "one"), await story.ask(world, "two")
    body = {
        "answers": [
            {"id": one.approval_id, "action": "approve", "digest": one.digest},
            {"id": two.approval_id, "action": "approve", "digest": one.digest},
            {"id": two.intent_id, "action": "reject"},
            {"id": "nothing", "action": "approve"},
        ]
    }
    answer = await world.call("POST", "/api/approvals/batch", body, token="bob")
    assert [result["status_code"] for result in answer["results"]] == [200, 409, 422, 404]

    many = {"ids": [two.approval_id], "action": "reject", "reason": "later"}
    answer = await world.call("POST", "/api/approvals/batch", many, token="bob")
    assert answer["results"][0]["status"] == "rejected"


async def test_history_shows_who_answered_what_and_how_it_ended(world: World) -> None:
    one, two = await story.ask(world, "one"), await story.ask(world, "two")
    await world.call("POST", f"/api/approvals/{one.approval_id}/approve", {}, token="bob")
    await world.append(
        DecisionOverridden(
            intent_id=two.intent_id,
            at=story.now(),
            decision_id=two.decision_id,
            decision="blocked",
            by="ann",
            reason="no",
        )
    )
    answer = await world.get("/api/approvals/history")
    found = {item["service_name"]: item["status"] for item in answer["items"]}
    assert found == {"one": "granted", "two": "overridden"}
    granted = await world.get("/api/approvals/history", status="granted")
    assert [item["granted_by"] for item in granted["items"]] == [["bob"]]


async def test_the_summary_counts_what_there_is(world: World) -> None:
    await story.ask(world)
    await story.auto(world)
    answer = await world.get("/api/dashboard/summary")
    assert (answer["pending_approvals"], answer["open_intents"]) == (1, 2)
    assert answer["intents_by_status"]["awaiting_approval"] == 1
    assert answer["intents_by_status"]["spec_generation"] == 1
    assert answer["auto_approval_rate"] == 0.5
    assert [d["service_name"] for d in answer["recent_decisions"]] == [
        "revenue-analytics",
        "governance-engine",
    ]


async def test_each_day_has_its_counts_and_quiet_days_have_zeros(world: World) -> None:
    await story.ask(world)
    await story.auto(world)
    answer = await world.get("/api/analytics/daily", days=3)
    assert len(answer["items"]) == 3
    today = answer["items"][-1]
    assert (today["submitted"], today["sent_to_people"], today["auto_approved"]) == (2, 1, 1)
    assert today["mean_alignment_score"] == 0.935
    assert answer["items"][0]["submitted"] == 0


async def test_the_mode_is_changed_by_an_approver_and_recorded(world: World) -> None:
    path = "/api/governance/mode"
    assert (await world.get(path))["mode"] == "autonomous"
    body = {"mode": "supervised", "user_present": True, "reason": "release week"}
    await world.call("POST", path, body, token="eve", expect=403)
    answer = await world.call("POST", path, body, token="ann")
    assert (answer["mode"], answer["user_present"], answer["by"]) == ("supervised", True, "ann")
    await world.call("POST", path, {"mode": "supervised"}, token="ann")
    (recorded,) = await world.log.read("events.governance.mode")
    assert isinstance(recorded.event, ModeChanged)
    await world.call("POST", path, {"mode": "reckless"}, token="ann", expect=422)


async def test_a_sign_in_link_opens_a_session_that_may_write_from_its_own_pages(
    world: World,
) -> None:
    asked = await story.ask(world)
    answer = await world.client.get("/sign-in", params={"token": "bob"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "bob" not in cookie
    path = f"/api/approvals/{asked.approval_id}/approve"
    for foreign in ({"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}):
        refused = await world.client.post(path, json={}, headers=foreign)
        assert refused.status_code == 401
    own = await world.client.post(path, json={}, headers={"Origin": world.url})
    assert own.status_code == 200, own.text


async def test_a_wrong_token_opens_nothing_and_a_link_leads_nowhere_else(world: World) -> None:
    answer = await world.client.get("/sign-in", params={"token": "mallory"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    away = {"token": "bob", "next": "//evil.example/"}
    assert (await world.client.get("/sign-in", params=away)).headers["location"] == "/"


async def test_a_revoked_token_ends_its_session_and_a_made_up_cookie_is_nobody(
    world: World,
) -> None:
    await sign_in(world, "bob")
    del world.users.roles["bob"]
    assert "Sign in" in (await world.client.get("/")).text
    async with httpx.AsyncClient(base_url=world.url, trust_env=False, verify=TRUST) as client:
        client.cookies.set("phoenix_session_8214", "made-up")
        answer = await client.post("/api/governance/mode", json={"mode": "aggressive"})
    assert answer.status_code == 401


async def test_the_session_key_is_private_and_shared(world: World, tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    create(world.ctx)
    assert path.read_bytes() == before


async def test_a_form_without_its_sessions_secret_changes_nothing(world: World) -> None:
    asked = await story.ask(world)
    secret = await sign_in(world, "bob")
    path = f"/approvals/{asked.approval_id}/approve"

    forged = await world.client.post(path, data={"digest": asked.digest, "csrf": "guess"})
    assert forged.status_code == 403
    good = await world.client.post(path, data={"digest": asked.digest, "csrf": secret})

    assert good.status_code == 303
    assert good.headers["location"] == f"/?done=approved&about={asked.intent_id}"
    page = await world.client.get(good.headers["location"])
    assert "Approved: governance-engine goes on." in page.text
    events = await governance_events(world, asked.intent_id)
    assert sum(isinstance(event, ApprovalGranted) for event in events) == 1


async def test_a_form_from_a_stranger_leads_to_the_sign_in_page(world: World) -> None:
    asked = await story.ask(world)
    answer = await world.client.post(f"/approvals/{asked.approval_id}/approve", data={})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


async def test_a_refused_form_shows_the_page_again_with_the_reason(world: World) -> None:
    asked = await story.ask(world, by="bob")
    secret = await sign_in(world, "bob")
    answer = await world.client.post(
        f"/approvals/{asked.approval_id}/approve", data={"digest": asked.digest, "csrf": secret}
    )
    assert answer.status_code == 403
    assert "whoever submits an intent does not approve it" in answer.text


async def test_an_intent_of_nobody_can_be_approved(world: World) -> None:
    """Whoever publishes to NATS need not say who they are."""
    asked = await story.ask(world, by="")
    path = f"/api/approvals/{asked.approval_id}/approve"
    answer = await world.client.post(path, headers={"Authorization": "Bearer bob"})
    assert (answer.status_code, answer.json()["status"]) == (200, "granted")


async def test_what_an_intent_says_is_text_and_never_markup(world: World) -> None:
    asked = await story.ask(world, purpose="<script>alert(1)</script> & a <b>bold</b> plan")
    for path in ("/", "/intents", f"/intents/{asked.intent_id}"):
        page = await world.get(path)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


async def test_the_pages_say_that_a_model_was_asked_in_vain_and_what_it_took(world: World) -> None:
    usage = Usage(
        model="claude-x",
        input_tokens=120,
        cached_tokens=3000,
        output_tokens=80,
        latency_ms=1444,
        attempts=3,
        cost_usd=0.00246,
        fallback_reason="HTTP 529 from the model (OverloadedError)",
    )
    asked = await story.ask(world, usage=usage)
    for path in ("/", f"/intents/{asked.intent_id}"):
        page = " ".join((await world.get(path)).split())
        assert "The model gave no verdict: HTTP 529 from the model (OverloadedError)." in page
        assert "Asked claude-x 3 times: 1.4 s, 3120 tokens read, 80 written, 0.0025 USD" in page
    plain = await story.ask(world, "other", purpose="Another governance engine")
    page = await world.get(f"/intents/{plain.intent_id}")
    assert "Evaluator: rubric, rubric 1<" in page
    assert "no verdict" not in page


async def test_a_policy_that_nobody_vouches_for_is_seen_as_such(world: World) -> None:
    policies = [
        Policy(policy_id=id, conditions=("tier == 1",), outcome="blocked")
        for id in ("ours", "nobodys", "borrowed")
    ]
    ours, nobodys, borrowed = (
        PolicyAdopted(at=story.now(), policy=policy, bundle_digest="d" * 64, by="ann")
        for policy in policies
    )
    ours = vouched(ours, world.ctx.data_dir)
    borrowed = borrowed.model_copy(update={"signature": ours.signature})
    await world.append(ours, nobodys, borrowed)
    await world.seen()
    page = await world.get("/policies")
    assert page.count("Nobody vouches for this change") == 2
    assert "it is not signed" in page
    assert "it signs another change" in page


@pytest.mark.parametrize("path", ["/", "/intents", "/services", "/uptime", "/history", "/policies"])
async def test_every_page_works_empty_and_full_and_allows_no_inline_script(
    world: World, path: str
) -> None:
    assert "<h1" in await world.get(path)
    await story.rules(world)
    await story.ask(world)
    await story.auto(world)
    await story.services(world)
    await story.held(world)
    await story.asks(world)
    answer = await world.client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", answer.text)
    assert not re.search(r"""(?:src|href)="https?://(?!127\.0\.0\.1)""", answer.text)


async def test_files_are_served_from_here_and_only_the_known_ones(world: World) -> None:
    page = await world.get("/")
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        answer = await world.client.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200
        assert answer.headers["cache-control"].endswith("immutable")
    assert (await world.client.get("/static/..%2Fservice.py")).status_code == 404


async def test_an_unknown_intent_has_a_page_that_says_so(world: World) -> None:
    answer = await world.client.get("/intents/nothing")
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert "There is no intent nothing." in answer.text
    assert (await world.client.get("/intents?cursor=mine")).status_code == 422


async def test_open_pages_are_told_of_a_change(world: World) -> None:
    async with world.client.stream("GET", "/live") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: hello"
        await story.ask(world)
        async for line in lines:
            if line == "event: changed":
                break
        else:
            pytest.fail("the stream ended without a change")


async def test_an_unknown_address_is_a_problem_for_programs_and_a_page_for_people(
    world: World,
) -> None:
    told = await world.get("/api/nowhere", expect=404)
    assert (told["status"], told["title"]) == (404, "Not found")
    page = await world.get("/nowhere", expect=404, accept="text/html,*/*")
    assert "There is no page /nowhere." in page
