"""Drafts by a model: valid ones are used, all else falls back to the rules, on the record.

The model's place is taken by an HTTP server that speaks the Messages API with scripted answers.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_events import SpecDrafted, SpecNeedsDetail
from domain.spec.draft import NeedsDetail
from infra.claude.asker import Asker, NoAnswer
from infra.claude_spec import ROUNDS, ClaudeDrafter
from infra.ports import Context
from services.sovereign_factory.assembly import Assembly
from services.sovereign_factory.service import SovereignFactory
from tests.spec.intents import ORDERS, VAGUE, intent
from tests.spec.test_factory import ID, clear, settled
from tests.support.context import running

GOOD: dict[str, Any] = {
    "records": [
        {
            "name": "revenue",
            "description": "Money that came in.",
            "fields": [
                {"name": "source", "type": "text", "required": True, "max_length": 80},
                {"name": "amount", "type": "decimal", "required": True, "min": "0"},
                {"name": "date", "type": "date", "required": True},
            ],
            "states": {
                "initial": "open",
                "transitions": [{"command": "close", "from_states": ["open"], "to": "closed"}],
            },
        }
    ],
    "rules": [
        {
            "name": "not-zero",
            "record": "revenue",
            "on": ["create"],
            "check": "record.amount > 0",
            "message": "an amount must be above zero",
        }
    ],
    "reports": [
        {
            "name": "monthly",
            "record": "revenue",
            "measure": "sum",
            "field": "amount",
            "group_by": ["month(date)"],
        }
    ],
}


class Model(ThreadingHTTPServer):
    """Answers each request with the next scripted answer; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[int, dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, content: object, *, stop: str = "end_turn") -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.script.append((200, {
            "id": f"msg_{len(self.script)}", "type": "message", "role": "assistant",
            "model": "model-x", "content": [{"type": "text", "text": text}], "stop_reason": stop,
            "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 20},
        }))  # fmt: skip

    def fail(self, status: int) -> None:
        error = {"type": "error", "error": {"type": "api_error", "message": "no"}}
        self.script.append((status, error))


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.asked.append(json.loads(self.rfile.read(length)))
        status, answer = self.server.script.pop(0)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def drafter(model: Model) -> ClaudeDrafter:
    return ClaudeDrafter(
        Asker(api_key="k", model="model-x", base_url=model.url, retries=0, timeout_s=10)
    )


async def test_a_valid_answer_becomes_a_completed_spec(model: Model) -> None:
    model.say(GOOD)
    made = await drafter(model).draft(intent(), version="2.0.0")
    assert made.spec.version == "2.0.0"
    assert made.spec.service_name == "revenue-analytics"
    assert made.spec.records[0].commands == ("close",)
    assert any(step.call.endswith("/close") for s in made.spec.scenarios for step in s.steps)
    assert made.notes[0] == "model-x, message msg_0: 10 tokens in, 20 out"
    assert model.asked[0]["output_config"]["format"]["type"] == "json_schema"


async def test_a_wrong_answer_is_sent_back_with_what_is_wrong(model: Model) -> None:
    wrong = {"records": [{**GOOD["records"][0], "fields": [
        {"name": "id", "type": "text", "required": True}
    ]}]}  # fmt: skip
    model.say(wrong)
    model.say(GOOD)
    made = await drafter(model).draft(intent(), version="1.0.0")
    assert made.spec.records[0].name == "revenue"
    last = model.asked[1]["messages"][-1]["content"]
    assert "records[0].fields[0].name: 'id' is reserved" in last


async def test_it_gives_up_after_some_rounds(model: Model) -> None:
    for _ in range(ROUNDS):
        model.say("nonsense")
    with pytest.raises(NoAnswer, match=f"after {ROUNDS} rounds"):
        await drafter(model).draft(intent(), version="1.0.0")
    assert len(model.asked) == ROUNDS


@pytest.mark.parametrize("stop", ["refusal", "max_tokens"])
async def test_a_refusal_or_a_cut_answer_is_no_draft(model: Model, stop: str) -> None:
    model.say(GOOD, stop=stop)
    with pytest.raises(NoAnswer, match=stop):
        await drafter(model).draft(intent(), version="1.0.0")


async def test_an_error_of_the_model_is_no_draft(model: Model) -> None:
    model.fail(500)
    with pytest.raises(NoAnswer):
        await drafter(model).draft(intent(), version="1.0.0")


async def test_the_models_questions_are_asked(model: Model) -> None:
    model.say({"records": [], "questions": ["What is kept?"]})
    with pytest.raises(NeedsDetail, match="What is kept"):
        await drafter(model).draft(VAGUE, version="1.0.0")


def with_model(model: Model) -> Any:
    def create(ctx: Context) -> SovereignFactory:
        return SovereignFactory(ctx, Assembly(ctx, drafter(model)))

    return create


async def test_the_factory_records_who_drafted(model: Model, tmp_path: Path) -> None:
    model.say(GOOD)
    async with running(with_model(model), tmp_path) as world:
        await clear(world, intent())
        assert (await settled(world)).status == "accepted"
        drafted = (await world.log.read(f"events.spec.{ID}"))[0].event
        assert isinstance(drafted, SpecDrafted)
        assert drafted.drafter == "claude"


async def test_the_rules_take_over_when_the_model_fails(model: Model, tmp_path: Path) -> None:
    model.fail(500)
    async with running(with_model(model), tmp_path) as world:
        await clear(world, intent())
        assert (await settled(world)).status == "accepted"
        drafted = (await world.log.read(f"events.spec.{ID}"))[0].event
        assert isinstance(drafted, SpecDrafted)
        assert drafted.drafter == "rules"
        assert drafted.notes[0].startswith("by rules, as the model failed: InternalServerError")


async def test_a_structured_spec_needs_no_model(model: Model, tmp_path: Path) -> None:
    async with running(with_model(model), tmp_path) as world:
        await clear(world, intent(spec=ORDERS))
        assert (await settled(world)).status == "accepted"
    assert model.asked == []


async def test_the_models_questions_reach_the_log(model: Model, tmp_path: Path) -> None:
    model.say({"records": [], "questions": ["What is kept?"]})
    async with running(with_model(model), tmp_path) as world:
        await clear(world, VAGUE)
        await settled(world)
        asked = (await world.log.read(f"events.spec.{ID}"))[0].event
        assert isinstance(asked, SpecNeedsDetail)
        assert asked.questions == ("What is kept?",)
