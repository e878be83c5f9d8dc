"""What CONTRACTS fixes, asked of a running system: every endpoint, and commands with their JSON."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.settings import BASE_PORTS
from infra.trust import TRUST
from tests.integration.system import System, running, until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "revenue-analytics.json"
SHIPPED = str(ROOT / "infra" / "assets" / "policies" / "shipped.json")
QUEUE, GOVERNANCE, FACTORY = "intent-queue", "governance", "sovereign-factory"
EXECUTOR, DASHBOARD, REGISTRY = "build-executor", "approval-dashboard", "registry"
ALIGNMENT = """
    aligned alignment_score reasoning decision policy_applied risk_level risk_factors
    recommendations evaluator evidence conditions timestamp
"""
INTENT = """
    intent_id service_name status queue_position alignment_score risk_level risk_factors
    governance_decision governance_reasoning policy_matched spec_score build_id deployment_url
    version lifecycle
"""


class Asked:
    """Calls as the administrator; every refusal is a problem document."""

    def __init__(self, system: System) -> None:
        self.system = system
        headers = {"Authorization": f"Bearer {system.token}"}
        self.client = httpx.Client(trust_env=False, verify=TRUST, timeout=20, headers=headers)

    def __call__(
        self, service: str, call: str, body: Any = None, *, status: int = 200, keys: str = ""
    ) -> Any:
        method, _, path = call.partition(" ")
        answer = self.client.request(method, self.system.url(service, path), json=body)
        assert answer.status_code == status, f"{service} {call}: {answer.text}"
        if status >= 400:
            assert answer.headers["content-type"].startswith("application/problem+json"), call
        if not answer.headers.get("content-type", "").endswith("json"):
            return answer.text
        found = answer.json()
        assert set(keys.split()) <= found.keys(), f"{service} {call}: {found}"
        return found

    def stream(self, service: str, path: str) -> None:
        with self.client.stream("GET", self.system.url(service, path)) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream"), path


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("contract")) as started:
        yield started


@pytest.fixture(scope="module")
def ask(system: System) -> Iterator[Asked]:
    asked = Asked(system)
    with asked.client:
        yield asked


@pytest.fixture(scope="module")
def completed(system: System, ask: Asked) -> dict[str, Any]:
    """An intent that has become a service."""
    events = [json.loads(line) for line in system.phoenix("demo", "--json").splitlines()]
    assert events[0]["type"] == "phoenix.intent.IntentQueued.v1"
    assert events[-1]["type"] == "phoenix.intent.IntentCompleted.v1"
    path = f"/intents/{events[0]['data']['intent_id']}?after={events[-1]['position']}"
    made: dict[str, Any] = ask(QUEUE, f"GET {path}")
    return made


@pytest.fixture(scope="module")
def waiting(system: System, ask: Asked) -> str:
    """An intent that waits for a person."""
    body = {
        "intent_id": str(uuid4()),
        "service_name": "governance-notes",
        "purpose": "AI-powered blueprint alignment and auto-approval governance engine",
        "service_type": "infrastructure",
    }
    keys = "intent_id status priority queue_position track_url position"
    first = ask(QUEUE, "POST /intents/submit", body, status=202, keys=keys)
    again = ask(QUEUE, "POST /intents/submit", body)
    assert again["intent_id"] == first["intent_id"] == body["intent_id"]
    ask(QUEUE, "POST /intents/submit", {**body, "intent_id": str(uuid4())}, status=409)
    system.wait_for(body["intent_id"], "awaiting_approval")
    return body["intent_id"]


@pytest.mark.parametrize("service", sorted(BASE_PORTS))
def test_every_service_answers_what_all_answer(service: str, ask: Asked) -> None:
    health = "status service version timestamp role instance pid epoch capacity position lag"
    assert ask(service, "GET /health", keys=health)["role"] == "active"
    features = "version features dependencies udc_version metadata"
    assert ask(service, "GET /capabilities", keys=features)["udc_version"] == "1.0"
    state = "uptime_seconds requests_total errors_last_hour last_restart requests_per_minute"
    ask(service, "GET /state", keys=f"{state} cpu_percent memory_mb")
    ask(service, "GET /dependencies", keys="required optional missing")
    message = {
        "trace_id": "t",
        "source": "test",
        "target": service,
        "message_type": "status",
        "timestamp": "2030-01-01T00:00:00Z",
    }
    keys = "received trace_id processed_at result"
    assert ask(service, "POST /message", {**message, "payload": {}}, keys=keys)["received"] is True
    for path in ("/livez", "/readyz", "/leader", "/metrics", "/schema", "/schema/openapi.json"):
        ask(service, f"GET {path}")
    ask.stream(service, "/events")
    ask(service, "GET /nothing-here", status=404)


def test_intents(completed: dict[str, Any], waiting: str, ask: Asked) -> None:
    wrong = ask(QUEUE, "POST /intents/submit", {"service_name": "X Y"}, status=422, keys="field")
    assert wrong["field"] == "service_name"
    listed = "items cursor total"
    ask(QUEUE, "GET /intents?status=completed&priority=medium&tier=2&q=revenue", keys=listed)
    ask(QUEUE, "GET /intents?limit=501", status=422)
    ask(QUEUE, "GET /intents/queue")
    assert ask(QUEUE, f"GET /intents/{completed['intent_id']}", keys=INTENT)["version"] == "1.0.0"
    phases = ask(QUEUE, f"GET /intents/{waiting}")["lifecycle"]
    assert {"phase", "status", "timestamp", "duration_seconds", "position"} <= phases[0].keys()
    ask(QUEUE, f"GET /intents/{waiting}/timeline")
    ask(QUEUE, f"PATCH /intents/{waiting}/priority", {"priority": "high"}, keys="position")
    same = {"service_name": "governance-notes", "purpose": "AI-powered governance of everything"}
    ask(QUEUE, "POST /intents/duplicate-check", same)
    ask(QUEUE, f"POST /intents/{completed['intent_id']}/retry", status=409)
    ask.stream(QUEUE, f"/intents/{waiting}/subscribe")
    ask.stream(QUEUE, "/intents/queue/subscribe")


def test_governance(completed: dict[str, Any], waiting: str, ask: Asked, system: System) -> None:
    intent = {"service_name": "some-desk", "purpose": "Keep the notes of a small team by day"}
    ask(GOVERNANCE, "POST /governance/check-alignment", {"intent": intent}, keys=ALIGNMENT)
    keys = f"{ALIGNMENT} intent_id decision_id next_action"
    decided = ask(GOVERNANCE, "POST /governance/decide", {"intent_id": waiting}, keys=keys)
    assert decided["next_action"] == "send_to_approval_dashboard"
    assert ask(GOVERNANCE, "GET /governance/mode")["mode"] == "autonomous"
    ask(GOVERNANCE, "POST /governance/mode", {"mode": "supervised"}, keys="position")
    ask(GOVERNANCE, "POST /governance/mode", {"mode": "autonomous"}, keys="position")
    ask(GOVERNANCE, "POST /governance/mode", status=422)
    policy = {"policy_id": "third", "conditions": ["tier == 3"], "outcome": "requires_approval"}
    ask(GOVERNANCE, "POST /governance/policies", policy, status=201)
    assert len(ask(GOVERNANCE, "GET /governance/policies")["policies"]) == 11
    found = ask(GOVERNANCE, "GET /governance/decisions", keys="items cursor total")["items"]
    decision = f"/governance/decisions/{found[0]['decision_id']}"
    ask(GOVERNANCE, f"GET {decision}", keys=ALIGNMENT)
    assert ask(GOVERNANCE, f"POST {decision}/replay")["identical"] is True
    ask(GOVERNANCE, "GET /governance/audit")
    simulated = {"policies": [{**policy, "outcome": "blocked"}], "extend": True}
    assert ask(GOVERNANCE, "POST /governance/simulate", simulated)["changed"] == 0
    ask(GOVERNANCE, "POST /governance/override", {"intent_id": waiting}, status=422)
    nobody = httpx.post(
        system.url(GOVERNANCE, "/governance/mode"), json={}, trust_env=False, verify=TRUST
    )
    assert nobody.status_code == 401


def test_specs_builds_and_deployments(completed: dict[str, Any], ask: Asked) -> None:
    intent_id = completed["intent_id"]
    listed = "items cursor total"
    ask(FACTORY, "GET /specs", keys=listed)
    document = ask(FACTORY, f"GET /specs/{intent_id}")["spec"]
    assert ask(FACTORY, f"GET /specs/{intent_id}/SPEC.md").startswith("# ")
    for call in ("POST /specs/verify", "POST /specs/optimize"):
        ask(FACTORY, call, {"spec": document})
    ask(FACTORY, "GET /pipelines", keys=listed)
    ask(FACTORY, "GET /dashboard")
    ask(EXECUTOR, "GET /builds", keys=listed)
    build = f"/builds/{completed['build_id']}"
    assert ask(EXECUTOR, f"GET {build}")["status"] == "healthy"
    assert "passed" in ask(EXECUTOR, f"GET {build}/log")
    ask(EXECUTOR, f"POST {build}/rollback", {"reason": "none before"}, status=409)
    ask(EXECUTOR, f"POST {build}/cancel", {"reason": "over"}, status=409)
    ask(EXECUTOR, "GET /deployments", keys=listed)
    ask.stream(EXECUTOR, f"{build}/stream")


def _in_force(waiting: str, ask: Asked) -> dict[str, Any]:
    """The open question under the policies of now: an adoption puts it again a moment later."""
    bundle = ask(GOVERNANCE, "GET /governance/policies")["bundle_digest"]
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        items = ask(DASHBOARD, "GET /api/approvals/pending")["items"]
        found[:] = [item for item in items if item["intent_id"] == waiting]
        return any(_bundle(item) == bundle for item in found)

    def _bundle(item: dict[str, Any]) -> str:
        decision = f"{item['decision_id']}?after={item['position']}"
        return str(ask(GOVERNANCE, f"GET /governance/decisions/{decision}")["bundle_digest"])

    until(asked, timeout_s=30)
    (question,) = found
    return question


def test_people(waiting: str, ask: Asked) -> None:
    assert "<html" in ask(DASHBOARD, "GET /")
    ask(DASHBOARD, "GET /api/dashboard/summary")
    question = _in_force(waiting, ask)
    path = f"/api/approvals/{question['approval_id']}"
    ask(DASHBOARD, f"POST {path}/reject", {}, status=422)
    ask(DASHBOARD, f"POST {path}/reject", {"reason": "not now"}, keys="position")
    ask(DASHBOARD, f"POST {path}/approve", {}, status=409)
    ask(DASHBOARD, "POST /api/approvals/nobody/approve", {}, status=404)
    assert ask(DASHBOARD, "GET /api/approvals/history")["items"]
    ask(DASHBOARD, "GET /api/analytics/daily")
    ask(DASHBOARD, "GET /api/governance/mode", keys="mode")
    ask(DASHBOARD, "POST /api/governance/mode", {"mode": "autonomous"})


def test_services(completed: dict[str, Any], ask: Asked) -> None:
    thing = {"name": "outside", "version": "1.0.0", "port": 8999, "url": "http://127.0.0.1:8999"}
    ask(REGISTRY, "POST /services/register", {**thing, "tier": 2}, status=201, keys="position")
    ask(REGISTRY, "POST /services/outside/heartbeat", keys="status next_heartbeat_s")
    assert ask(REGISTRY, "GET /services")["total"] == 8
    keys = "name version tier status port url features dependencies instances"
    row = ask(REGISTRY, f"GET /services/{completed['service_name']}", keys=keys)
    instance = {"instance", "port", "role", "status", "epoch", "capacity", "started_at"}
    assert len(row["instances"]) == 3
    assert instance <= row["instances"][0].keys()
    ask(REGISTRY, "DELETE /services/outside", keys="position")
    ask(REGISTRY, "DELETE /services/outside", status=404)
    assert ask(REGISTRY, "GET /ssot?at=20")["position"] == 20
    ask(REGISTRY, "GET /phoenix")
    headers = {"Accept": "text/markdown"}
    page = ask.client.get(ask.system.url(REGISTRY, "/ssot"), headers=headers)
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"


def test_commands_for_programs(completed: dict[str, Any], system: System, tmp_path: Path) -> None:
    intent_id, build_id = completed["intent_id"], completed["build_id"]
    for line in (
        "status",
        "status --uptime",
        "doctor",
        "intent list",
        f"intent show {intent_id}",
        "approvals",
        "mode",
        "policy list",
        "policy show block_misaligned",
        f"policy test {EXAMPLE}",
        f"policy simulate {SHIPPED}",
        f"spec score {EXAMPLE}",
        f"spec show {intent_id}",
        f"spec render {intent_id}",
        f"build show {build_id}",
        f"build log {build_id}",
        "switchover registry",
        "ssot --at 20",
        "user list",
        "nats-context",
        f"udc check {completed['service_name']}",
        "audit replay --to 40",
        "audit seal",
        "audit verify",
        f"audit prove 30 --out {tmp_path / 'proof.json'}",
        f"audit export {tmp_path / 'log.ndjson.gz'}",
    ):
        assert system.json(*line.split()), line
    key = str(system.data_dir / "keys" / "log.pub")
    for offline in (("--proof", "proof.json"), ("--archive", "log.ndjson.gz")):
        found = system.json("audit", "verify", offline[0], str(tmp_path / offline[1]), "--key", key)
        assert found["holds"] is True
    shown = system.phoenix("audit", "show", "--intent", intent_id, "--json").splitlines()
    assert {json.loads(line)["correlationid"] for line in shown} == {intent_id}
    for line, code in (
        ("intent show nobody", 1),
        ("approve nobody", 1),
        ("reject nobody", 2),
        (f"build rollback {build_id}", 1),
        (f"intent cancel {intent_id}", 1),
        ("udc check nobody", 1),
        ("udc check http://127.0.0.1:9", 3),
        ("switchover nobody", 1),
        ("user revoke nobody", 1),
        (f"backup {tmp_path / 'b.tgz'}", 1),  # while it runs
        (f"audit import {tmp_path / 'log.ndjson.gz'} --key {key}", 1),
    ):
        assert system.phoenix(*line.split(), "--json", expect=code) == "", line


def test_commands_for_people(completed: dict[str, Any], system: System) -> None:
    for line, told in (
        ("status", "governance-0"),
        ("intent list", completed["intent_id"]),
        (f"intent show {completed['intent_id']}", "governance_check"),
        ("policy show block_misaligned", "alignment_score < 0.70"),
        (f"policy test {EXAMPLE}", "auto_approve_tier2_aligned"),
        (f"policy simulate {SHIPPED}", "would change"),
        (f"spec optimize {EXAMPLE}", "excellent"),
        (f"build show {completed['build_id']}", "CodeGenerated"),
        ("ssot --md", "# The system"),
        ("user list", "admin, approver"),
        (f"udc check {completed['service_name']}", "GET /health"),
        ("audit replay", "equal"),
    ):
        said = system.phoenix(*line.split())
        assert told in said, line
        assert "{'" not in said, f"{line}: a structure is no text for people"


def test_commands_that_change_something(
    completed: dict[str, Any], system: System, tmp_path: Path
) -> None:
    assert system.json("user", "add", "eve", "--role", "approver")["token"]
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps({"policy_id": "told", "conditions": ["tier == 3"], "outcome": "blocked"})
    )
    assert "told" in system.phoenix("policy", "adopt", str(policy), "--reason", "a test")
    assert _said(system.phoenix("policy", "list"), "told").endswith("holds")
    assert "told" not in system.phoenix("policy", "retire", "told", "--reason", "tested")
    system.phoenix("policy", "retire", "told", "--reason", "tested", expect=1)
    assert system.json("mode", "supervised", "--present")["mode"] == "supervised"
    assert system.json("mode", "autonomous", "--away")["user_present"] is False
    end = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    given = ("delegation", "add", "eve", "--until", end, "--reason", "away")
    assert "eve" in system.phoenix(*given)
    assert "eve" not in system.phoenix("delegation", "end", "admin", "eve")
    assert system.json("user", "revoke", "eve")["revoked"] is True
    purpose = "Keep the waiting list of a small choir, so that nobody is forgotten"
    named = ("intent", "submit", "--name", "choir-list", "--purpose", purpose, "--tier", "0")
    made = system.json(*named)["intent_id"]
    system.wait_for(made, "awaiting_approval")
    system.phoenix("reject", _question(system, made), "--reason", "not now")
    assert "rejected" in system.phoenix("intent", "watch", made, expect=1)
    system.phoenix("intent", "retry", made, expect=1)  # what a person refused is asked anew
    other = system.json("intent", "submit", str(_without_build(tmp_path)))["intent_id"]
    system.wait_for(other, "awaiting_approval")
    assert system.json("approve", _question(system, other))["status"] == "granted"
    until(lambda: system.json("intent", "show", other)["spec_score"], timeout_s=60, every_s=0.5)
    system.phoenix("intent", "cancel", other, "--reason", "only its SPEC was wanted")
    started = system.json("bootstrap")
    assert [row["service_name"] for row in started] == list(BASE_PORTS)
    for row in started:
        system.phoenix("intent", "cancel", row["intent_id"], "--reason", "only a test")
    first = started[0]["intent_id"]
    system.phoenix("intent", "retry", first)
    system.phoenix("intent", "cancel", first, "--reason", "only a test")


def _question(system: System, intent_id: str) -> str:
    """The approval that is asked for."""
    items = system.json("approvals")["items"]
    return str(next(row["approval_id"] for row in items if row["intent_id"] == intent_id))


def _said(output: str, word: str) -> str:
    """The line that begins with this word."""
    return next(line.rstrip() for line in output.splitlines() if line.startswith(word))


def _without_build(folder: Path) -> Path:
    """An intent that a person is asked about and that stops after its SPEC."""
    intent = json.loads(EXAMPLE.read_text())
    asked = {"service_name": "other-revenues", "target_tier": 0, "auto_build": False}
    path = folder / "intent.json"
    path.write_text(json.dumps({**intent, **asked, "purpose": "Book the takings of our market"}))
    return path


def test_a_backup_is_the_whole_system(completed: dict[str, Any], system: System) -> None:
    """The last test here: it stops the system, and starts another one from its backup."""
    url, taken = completed["deployment_url"], {"source": "web", "customer": "Ada"}
    booked = {**taken, "amount": "19.99", "date": "2030-01-05"}
    httpx.post(f"{url}/revenues", json=booked, trust_env=False, verify=TRUST).raise_for_status()
    decided = system.json("intent", "show", completed["intent_id"])
    last = system.json("audit", "verify")["sealed"]
    system.stop()
    folder = system.data_dir.parent / "moved"
    folder.mkdir()
    system.phoenix("backup", str(folder / "b.tgz"))
    moved = System(folder / "data", system.shift)
    moved.phoenix("restore", str(folder / "b.tgz"))
    moved.start()
    try:
        until(lambda: _revenues(url) == ["19.99"], timeout_s=60, every_s=0.5)
        assert moved.json("intent", "show", completed["intent_id"]) == decided
        found = moved.json("audit", "verify")
        assert (found["holds"], found["sealed"] >= last) == (True, True)
        assert moved.json("audit", "replay")["equal"] is True
    finally:
        moved.stop()


def _revenues(url: str) -> list[str]:
    try:
        answer = httpx.get(f"{url}/revenues", trust_env=False, verify=TRUST)
    except httpx.HTTPError:
        return []
    return [row["amount"] for row in answer.json().get("items", [])]
