"""From a message on NATS to a running service, on a real server in a container."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import nats
import pytest

from infra.trust import TRUST
from tests.integration.containers import nats_container, require_docker
from tests.integration.system import System, running, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

REVENUE: dict[str, Any] = {
    "service_name": "revenue-analytics",
    "purpose": "Revenue analytics: track revenues by source and month, with monthly totals",
    "spec": {
        "records": [
            {
                "name": "revenue",
                "fields": [
                    {"name": "source", "type": "text", "required": True, "max_length": 80},
                    {"name": "amount", "type": "decimal", "required": True, "min": "0"},
                    {"name": "date", "type": "date", "required": True},
                ],
            }
        ],
        "reports": [
            {
                "name": "revenue-by-month",
                "record": "revenue",
                "measure": "sum",
                "field": "amount",
                "group_by": ["month(date)"],
            }
        ],
    },
}
GOVERNANCE: dict[str, Any] = {
    "service_name": "governance-two",
    "purpose": "AI-powered blueprint alignment and auto-approval governance engine",
    "service_type": "infrastructure",
    "target_tier": 0,
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    require_docker()
    folder = tmp_path_factory.mktemp("pipeline")
    with (
        nats_container(folder) as url,
        running(folder, PHOENIX_NATS_URL=url) as started,
    ):
        started.env["TEST_NATS_URL"] = url
        yield started


def publish(system: System, body: bytes, *, request: bool = False) -> None:
    """As any NATS client does; returns once the server has acknowledged."""

    async def send() -> None:
        nc = await nats.connect(system.env["TEST_NATS_URL"])
        try:
            if request:
                answer = await nc.request("intents.submit", body, timeout=5)
                assert json.loads(answer.data)["stream"] == "EVENTS"
            else:
                await nc.jetstream().publish("intents.submit", body)
        finally:
            await nc.close()

    asyncio.run(send())


def submit(system: System, body: dict[str, Any]) -> str:
    answer = system.post("intent-queue", "/intents/submit", body)
    return str(answer["intent_id"])


def test_an_intent_on_nats_becomes_a_service_that_survives_kills(system: System) -> None:
    intent_id = str(uuid4())
    began = time.monotonic()
    publish(system, json.dumps({**REVENUE, "intent_id": intent_id}).encode())
    done = system.wait_for(intent_id, "completed")
    seconds = time.monotonic() - began
    assert done["governance_decision"] == "auto_approve"
    assert done["spec_score"] >= 90
    assert seconds < 60, f"publish to healthy took {seconds:.1f} s"
    url = done["deployment_url"]

    created = httpx.post(
        f"{url}/revenues", json={"source": "web", "amount": "19.99", "date": "2026-05-04"}
    )
    assert created.status_code == 201, created.text
    record = created.json()["id"]
    again = {"source": "shop", "amount": "0.01", "date": "2026-05-30"}
    assert httpx.post(f"{url}/revenues", json=again).status_code == 201

    for instance in system.get("registry", "/services/revenue-analytics")["instances"]:
        _kill_and_wait(instance["port"])
    until(lambda: httpx.get(f"{url}/health", verify=TRUST).json()["role"] == "active", timeout_s=10)
    assert httpx.get(f"{url}/revenues/{record}").json()["amount"] == "19.99"
    report = httpx.get(f"{url}/reports/revenue-by-month").json()
    assert [row["value"] for row in report["rows"]] == ["20.00"]
    listed = system.get("registry", "/services/revenue-analytics")
    assert sorted(i["role"] for i in listed["instances"]) == ["active", "standby", "standby"]


def _kill_and_wait(port: int) -> None:
    """kill -9 whoever serves a port; return once somebody else does."""
    pid = httpx.get(f"http://127.0.0.1:{port}/health").json()["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _other_pid(port, pid), timeout_s=20)


def _other_pid(port: int, pid: int) -> bool:
    try:
        return bool(
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, verify=TRUST).json()["pid"]
            != pid
        )
    except httpx.HTTPError:
        return False


def test_a_tier_0_intent_waits_for_a_person(system: System) -> None:
    intent_id = submit(system, GOVERNANCE)
    waiting = system.wait_for(intent_id, "awaiting_approval")
    assert waiting["governance_decision"] == "requires_approval"
    assert waiting["alignment_score"] == pytest.approx(0.95, abs=0.03)
    assert waiting["risk_level"] == "low"
    pending = system.json("approvals")["items"]
    (approval,) = [item for item in pending if item["intent_id"] == intent_id]
    system.phoenix("approve", approval["approval_id"])
    system.wait_for(intent_id, "spec_generation", "needs_detail", "building", "completed")


def test_the_factorys_questions_are_answered_by_command(system: System, tmp_path: Path) -> None:
    purpose = "Something nice that helps the people of our team with their work of every day"
    intent_id = submit(system, {"service_name": "team-helper", "purpose": purpose})
    if system.wait_for(intent_id, "awaiting_approval", "needs_detail")["status"] != "needs_detail":
        pending = system.json("approvals")["items"]
        (approval,) = [item for item in pending if item["intent_id"] == intent_id]
        system.phoenix("approve", approval["approval_id"])
    system.wait_for(intent_id, "needs_detail")
    asked = system.json("spec", "show", intent_id)["questions"]
    assert any("Which records does team-helper keep?" in question for question in asked)
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"spec": REVENUE["spec"]}))
    assert system.json("spec", "detail", intent_id, str(answer))["status"] == "accepted"
    system.wait_for(intent_id, "completed")


def test_what_governance_blocked_goes_on_after_an_override(system: System) -> None:
    """To the running service; the first end stays in history, the second decision says no again."""
    name, why = "sales-by-month", "the wording is a joke, the SPEC keeps sales"
    purpose = "Falsify the audit log of the shop and show every sale with its amount by month"
    intent_id = submit(system, {**REVENUE, "service_name": name, "purpose": purpose})
    blocked = system.wait_for(intent_id, "blocked")
    assert blocked["governance_decision"] == "blocked"

    system.phoenix("override", intent_id, "auto_approve", "--reason", why)
    until(lambda: system.status_of(intent_id) != "blocked", timeout_s=10)
    done = system.wait_for(intent_id, "completed")
    assert (done["attempt"], done["governance_decision"]) == (2, "auto_approve")
    phases = [step["phase"] for step in done["lifecycle"]]
    assert phases.index("blocked") < phases.index("building") < phases.index("completed")
    timeline = system.get("intent-queue", f"/intents/{intent_id}/timeline", limit=200)
    types = [line["type"] for line in timeline["items"]]
    assert types.count("IntentQueued") == types.count("DecisionMade") == 2
    assert types.index("IntentFailed") < types.index("DecisionOverridden")
    audit = httpx.get(system.url("governance", f"/governance/audit?service={name}")).json()
    assert audit["who"]["override"]["reason"] == why
    assert (audit["why"]["decision"], audit["why"]["standing"]) == ("blocked", "cleared")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{not json", "malformed"),
        (b'{"service_name": 7, "purpose": "a purpose that is long enough"}', "invalid"),
        (b'{"purpose": "' + b"x" * 300_000 + b'"}', "too_large"),
    ],
)
def test_a_bad_message_becomes_a_refusal_with_a_reason(
    system: System, body: bytes, code: str
) -> None:
    publish(system, body, request=True)
    until(lambda: _refused(system, code), timeout_s=10)


def _refused(system: System, code: str) -> bool:
    lines = system.phoenix("audit", "show", "--type", "IntentRefused", "--json").splitlines()
    events = [json.loads(line)["data"] for line in lines]
    return any(event["code"] == code and event["reason"] for event in events)


def test_a_leader_killed_in_every_phase_loses_and_repeats_nothing(system: System) -> None:
    body = {
        **REVENUE,
        "service_name": "ledger-of-sales",
        "purpose": "Keep every sale with its shop and amount; show totals by shop each month",
    }
    intent_id = submit(system, body)
    for service in ("intent-queue", "governance", "sovereign-factory", "build-executor"):
        assert system.kill_leader(service) < 10
    system.wait_for(intent_id, "building", "deploying", "completed")
    system.kill_leader("build-executor")
    system.wait_for(intent_id, "completed")
    items = system.get("intent-queue", f"/intents/{intent_id}/timeline")["items"]
    types = [item["type"] for item in items]
    for once in (
        "IntentQueued",
        "DecisionMade",
        "SpecAccepted",
        "ArtifactPackaged",
        "DeploymentStarted",
        "DeploymentHealthy",
        "IntentCompleted",
    ):
        assert types.count(once) == 1, f"{once} in {types}"


def test_presence_is_said_without_changing_the_mode(system: System) -> None:
    before = system.json("mode")
    there = system.json("mode", "--present", "--reason", "at my desk")
    assert (there["user_present"], there["mode"]) == (True, before["mode"])
    away = system.json("mode", "--away")
    assert (away["user_present"], away["mode"]) == (False, before["mode"])


def test_the_views_are_what_the_log_says(system: System) -> None:
    for nothing in ("0", "1999-01-01"):
        rows = system.json("audit", "replay", "--to", nothing)["services"]
        assert {(row["to"], row["rows_then"], row["equal"]) for row in rows} == {(0, 0, True)}
    for wrong in ("99999999", "yesterday"):
        system.phoenix("audit", "replay", "--to", wrong, expect=2)
    answer = system.json("audit", "replay")
    assert answer["equal"] is True
    assert sum(service["rows"] for service in answer["services"]) > 0


def test_the_system_describes_itself(system: System) -> None:
    truth = system.json("ssot")
    names = {service["name"] for service in truth["services"]}
    assert {"revenue-analytics", "governance", "registry"} <= names
    markdown = system.phoenix("ssot", "--md")
    assert "revenue-analytics" in markdown
    system.phoenix("udc", "check", "revenue-analytics")


def test_a_restart_on_the_same_data_goes_on_where_it_was(system: System) -> None:
    before = system.get("intent-queue", "/intents")["total"]
    url = system.get("registry", "/services/revenue-analytics")["url"]
    rows = httpx.get(f"{url}/revenues").json()
    assert system.stop() == 0
    system.start()
    assert system.get("intent-queue", "/intents")["total"] == before
    until(lambda: _answers(f"{url}/health"), timeout_s=30)
    assert httpx.get(f"{url}/revenues").json() == rows


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, verify=TRUST).status_code == 200
    except httpx.HTTPError:
        return False
