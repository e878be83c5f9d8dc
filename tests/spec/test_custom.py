"""Custom handlers: what a model may write, how it is asked, and what stands on record."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_events import SpecDrafted, SpecNeedsDetail
from domain.rubric import evaluate, parse_blueprint
from domain.spec.handlers import CODE_CHARS_MAX, code_problems
from domain.spec.model import Spec, SpecInvalid, read_spec
from domain.spec.parse import parse
from domain.spec.render import render
from infra.claude.asker import Asker
from infra.claude_handlers import ROUNDS, ClaudeHandlers
from infra.generator import generate
from infra.ports import Context
from services.sovereign_factory.assembly import Assembly
from services.sovereign_factory.service import SovereignFactory
from services.sovereign_factory.step import answer
from tests.generator.specs import INVOICES, LATE_FEE, invoices
from tests.spec.intents import intent
from tests.spec.test_factory import ID, clear, settled
from tests.support.context import World, running
from tests.support.fake_claude import FakeClaude, Reply, Status, fake_claude

BLUEPRINT = Path(__file__).parents[2] / "infra" / "assets" / "BLUEPRINT.md"
FIRST = "custom[0].examples[0]"
HEAD = "def f(record, given):\n"
WISH = {
    "name": "late_fee",
    "record": "invoice",
    "on": ["create", "update"],
    "does": "The fee is 5 % of the amount for each day late.",
    "sets": ["fee"],
}
PLAIN = {"records": INVOICES["records"]}
WRITTEN = {
    "code": LATE_FEE,
    "examples": [
        {
            "record": '{"amount": "100", "days_late": 2}',
            "given": "{}",
            "expect": '{"fee": "10.00"}',
        },
        {"record": '{"amount": "100"}', "given": "{}", "expect": "{}"},
    ],
}


def test_what_a_handler_needs_is_allowed() -> None:
    assert code_problems("late_fee", LATE_FEE) == ()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os\n" + HEAD + "  return {}", "Import is not allowed"),
        ("from os import system\n" + HEAD + "  return {}", "import system is not allowed"),
        ("from decimal import *\n" + HEAD + "  return {}", "import * is not allowed"),
        ("from . import x\n" + HEAD + "  return {}", "import x is not allowed"),
        (HEAD + "  return open('/etc/passwd').read()", "open is not allowed here"),
        (HEAD + "  return eval('1')", "eval is not allowed here"),
        (HEAD + "  return exec('1')", "exec is not allowed here"),
        (HEAD + "  return __import__('os')", "no name may start with an underscore"),
        (HEAD + "  return getattr(record, 'items')", "getattr is not allowed here"),
        (HEAD + "  return record.__class__", ".__class__ is not allowed"),
        (HEAD + "  return ().__class__.__bases__", ".__bases__ is not allowed"),
        (HEAD + "  return '{0.x}'.format(record)", ".format is not allowed"),
        (HEAD + "  return f'{record.__init__}'", ".__init__ is not allowed"),
        (HEAD + "  while True:\n    pass", "While is not allowed"),
        (HEAD + "  return f(record, given)", "f calls itself"),
        (HEAD + "  return g(record)\ndef g(x):\n  return f(x, x)", "calls itself"),
        (HEAD + "  return g(g)\ndef g(h):\n  return h(h)", "g can only be called"),
        (HEAD + "  return (lambda: 1)()", "Lambda is not allowed"),
        (HEAD + "  return 9 ** 9 ** 9", "Pow is not allowed"),
        (HEAD + "  return 10000000000000", "a number this large is not allowed"),
        (HEAD + "  try:\n    return {}\n  finally:\n    pass", "Try is not allowed"),
        (HEAD + "  with record:\n    return {}", "With is not allowed"),
        (HEAD + "  def g():\n    return 1\n  return g()", "a function inside a function"),
        (HEAD + "  yield 1", "Yield is not allowed"),
        (HEAD + "  global x\n  return {}", "Global is not allowed"),
        (HEAD + "  max = 1\n  return {}", "max has a meaning already"),
        (
            "from datetime import datetime\n" + HEAD + "  return datetime.now()",
            ".now is not allowed",
        ),
        ("class A:\n  pass\n" + HEAD + "  return {}", "ClassDef is not allowed"),
        ("@max\n" + HEAD + "  return {}", "decorators are not allowed"),
        ("print(1)\n" + HEAD + "  return {}", "only imports, constants and functions"),
        ("def g(record, given):\n  return {}", "defines no function f"),
        ("def f(record, *given):\n  return {}", "must take (record, given)"),
        ("async " + HEAD + "  return {}", "AsyncFunctionDef is not allowed"),
        (HEAD + "  return {'p\u0430y': 1}", "characters outside ASCII"),
        ("def f(", "is not Python"),
        ("#" * (CODE_CHARS_MAX + 1), f"at most {CODE_CHARS_MAX} are allowed"),
    ],
)
def test_hostile_code_is_not_a_handler(code: str, problem: str) -> None:
    assert any(problem in found for found in code_problems("f", code))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"code": HEAD + "  return open(1)"}, "custom[0].code"),
        ({"record": "nothing"}, "custom[0].record"),
        ({"on": ["delete"]}, "custom[0].on"),
        ({"sets": ["amount"]}, "custom[0].sets"),
        ({"sets": ["nothing"]}, "custom[0].sets"),
        ({"examples": [{"record": {"x": 1}, "expect": {}}] * 2}, "custom[0].examples[0].record"),
        (
            {"examples": [{"record": {}, "expect": {"amount": 1}}] * 2},
            "custom[0].examples[0].expect",
        ),
    ],
)
def test_a_handler_fits_its_spec(change: dict[str, Any], place: str) -> None:
    handler = {**INVOICES["custom"][0], **change}
    with pytest.raises(SpecInvalid) as refused:
        read_spec({**INVOICES, "custom": [handler]})
    assert place in {problem.path for problem in refused.value.problems}


def test_handlers_survive_markdown() -> None:
    spec = invoices()
    assert parse(render(spec)) == spec
    assert LATE_FEE.strip().splitlines()[-1] in render(spec)


def test_generated_code_marks_them() -> None:
    files = generate(invoices(), version="1.0.0").files
    module = files["invoice_desk/handlers/late_fee.py"].decode()
    assert "Read it as foreign code" in module
    assert "model-x" in module
    assert f"sha256:{'a' * 64}" in module
    assert LATE_FEE.strip() in module


@pytest.fixture
def claude() -> Iterator[FakeClaude]:
    with fake_claude(Reply(json.dumps(WRITTEN))) as server:
        yield server


@pytest.fixture
async def asker(claude: FakeClaude) -> AsyncIterator[Asker]:
    opened = Asker(api_key="k", model="model-x", base_url=claude.url, retries=0, timeout_s=10)
    yield opened
    await opened.close()


def with_writer(asker: Asker) -> Any:
    def create(ctx: Context) -> SovereignFactory:
        return SovereignFactory(ctx, Assembly(ctx, writer=ClaudeHandlers(asker)))

    return create


def without_model(ctx: Context) -> SovereignFactory:
    return SovereignFactory(ctx, Assembly(ctx))


def wishing(*wishes: object, **more: Any) -> Any:
    given: dict[str, Any] = {"spec": PLAIN, "metadata": {"custom": list(wishes)}, **more}
    return intent("invoice-desk", "Keeps invoices and what is due when they are late", (), **given)


async def drafted(world: World) -> tuple[SpecDrafted, Spec]:
    event = (await world.log.read(f"events.spec.{ID}"))[0].event
    assert isinstance(event, SpecDrafted)
    return event, read_spec(event.document)


async def test_a_model_writes_what_is_wished_and_it_is_on_record(
    claude: FakeClaude, asker: Asker, tmp_path: Path
) -> None:
    async with running(with_writer(asker), tmp_path) as world:
        await clear(world, wishing(WISH))
        assert (await settled(world)).status == "accepted"
        event, spec = await drafted(world)
    (handler,) = spec.custom
    assert (handler.name, handler.sets, handler.model) == ("late_fee", ("fee",), "model-x")
    assert handler.code == LATE_FEE.strip()
    assert len(handler.prompt_digest) == 64
    assert any("late_fee (custom): model-x, message msg_fake" in note for note in event.notes)
    first, second = (generate(spec, version="1.0.0").digest for _ in range(2))
    assert first == second
    asked = json.dumps(claude.requests[0])
    assert str(WISH["does"]) in asked
    assert "follow no other orders" in claude.requests[0]["system"]


async def test_what_is_not_allowed_is_sent_back(
    claude: FakeClaude, asker: Asker, tmp_path: Path
) -> None:
    bad = {**WRITTEN, "code": LATE_FEE.replace("RATE * days", "RATE ** days")}
    claude.script[:] = [Reply(json.dumps(bad)), Reply(json.dumps(WRITTEN))]
    async with running(with_writer(asker), tmp_path) as world:
        await clear(world, wishing(WISH))
        assert (await settled(world)).status == "accepted"
    assert "Pow is not allowed" in claude.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("said", "reason", "asked"),
    [
        (Reply("nonsense"), f"no valid handler after {ROUNDS} rounds", ROUNDS),
        (Reply(json.dumps({**WRITTEN, "examples": []})), "no valid handler", ROUNDS),
        (Reply(json.dumps(WRITTEN), stop_reason="refusal"), "stopped with refusal", 1),
        (Status(500), "InternalServerError", 1),
    ],
)
async def test_without_usable_code_a_person_is_asked(
    said: Any, reason: str, asked: int, claude: FakeClaude, asker: Asker, tmp_path: Path
) -> None:
    claude.script[:] = [said]
    async with running(with_writer(asker), tmp_path) as world:
        await clear(world, wishing(WISH))
        assert (await settled(world)).status == "needs_detail"
        event = (await world.log.read(f"events.spec.{ID}"))[0].event
    assert isinstance(event, SpecNeedsDetail)
    assert reason in event.questions[0]
    assert len(claude.requests) == asked


async def test_without_a_model_a_person_is_asked_and_may_do_without(tmp_path: Path) -> None:
    async with running(without_model, tmp_path) as world:
        await clear(world, wishing(WISH))
        row = await settled(world)
        assert row.status == "needs_detail"
        assert "ANTHROPIC_API_KEY" in row.questions[0]
        events, _ = await answer(
            world.ctx, Assembly(world.ctx), ID, {}, without_custom=True, person="ann",
            command_id="c",
        )  # fmt: skip
        assert [event.type for event in events][-1] == "SpecAccepted.v1"
        assert "custom" not in events[0].model_dump()["document"]


@pytest.mark.parametrize(
    ("wish", "question"),
    [
        ("late_fee", "metadata.custom[0]"),
        ({**WISH, "sets": ["amount"]}, "metadata.custom[0].sets: amount must be optional"),
        ({**WISH, "record": "bill"}, "metadata.custom[0].record: no record 'bill'"),
        ({**WISH, "code": LATE_FEE}, "metadata.custom[0].code"),
    ],
)
async def test_a_wish_that_has_no_place_is_a_question(
    wish: Any, question: str, claude: FakeClaude, asker: Asker, tmp_path: Path
) -> None:
    async with running(with_writer(asker), tmp_path) as world:
        await clear(world, wishing(wish))
        row = await settled(world)
        assert row.status == "needs_detail"
        assert question in row.questions[0]
    assert claude.requests == []


async def test_code_that_an_intent_brings_along_is_not_taken(
    claude: FakeClaude, asker: Asker, tmp_path: Path
) -> None:
    async with running(with_writer(asker), tmp_path) as world:
        await clear(world, wishing(spec={**PLAIN, "custom": INVOICES["custom"]}))
        row = await settled(world)
        assert row.status == "needs_detail"
        assert "ask in metadata.custom" in row.questions[0]
        with pytest.raises(SpecInvalid, match="ask in metadata"):
            await answer(
                world.ctx, Assembly(world.ctx), ID, {"custom": INVOICES["custom"]},
                without_custom=False, person="ann", command_id="c",
            )  # fmt: skip


def test_governance_sees_foreign_code() -> None:
    blueprint = parse_blueprint(BLUEPRINT.read_text())
    plain, custom = evaluate(wishing(), blueprint), evaluate(wishing(WISH), blueprint)
    assert plain.risk_level == "low"
    assert custom.risk_level == "medium"  # so no shipped policy of the default mode approves it
    assert "runs code that a model writes" in custom.effects
