"""SPEC.md: ours comes back without loss, others are read as well as they allow."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.spec.draft import draft
from domain.spec.model import Spec, read_spec
from domain.spec.optimize import optimize
from domain.spec.parse import parse
from domain.spec.render import difference, render
from domain.spec.score import score
from infra.spec_cel import judge
from tests.spec.intents import EXPENSES, ORDERS, SHOP, TASKS, intent

HEAD = {"service_name": "desk", "purpose": "Keep the orders of a small shop, for its two owners"}
FOREIGN = """# Revenue Analytics Service - SPEC

**Version:** 2.1

## Purpose
Tracks revenue for **all** services, so that finance sees trends early.

## Core Capabilities
- Track revenue by source
- **Monthly** revenue report

## UDC Endpoints
- GET /health

## Service Endpoints
### POST /revenue
```json
{"source": "web", "amount": 12.5, "date": "2030-01-01", "customer_email": "a@b.co", "paid": true}
```
Response:
```json
{"id": "x"}
```

## Success Criteria
- [ ] 95 % of requests under 100 ms

## Tech Stack
- Python
"""


@pytest.mark.parametrize("given_intent", [intent(), EXPENSES, TASKS, SHOP, intent(spec=ORDERS)])
def test_a_spec_survives_markdown(given_intent: Any) -> None:
    spec = optimize(draft(given_intent, judge=judge).spec, 100, judge=judge).spec
    assert parse(render(spec)) == spec
    assert render(parse(render(spec))) == render(spec)


def test_what_is_personal_survives_markdown() -> None:
    document = json.loads(json.dumps(ORDERS))
    document["records"][0]["fields"][0]["personal"] = True
    spec = read_spec({"service_name": "desk", "purpose": "Keep orders of a shop", **document})
    assert spec.records[0].personal
    assert parse(render(spec)) == spec


nasty = st.text(
    alphabet=st.sampled_from('ab |\\n\n#-`>{}[]":;.,1*_!\r\u2028é'), min_size=1, max_size=40
).filter(lambda text: bool(text.strip()))


@given(
    purpose=nasty,
    title=nasty,
    feature=nasty,
    heading=nasty,
    body=nasty,
    value=nasty,
    description=nasty,
    message=nasty,
    scenario=nasty,
    default=nasty,
)
def test_no_text_breaks_the_way_back(**texts: str) -> None:
    spec = read_spec(nasty_document(texts))
    assert parse(render(spec)) == spec


def nasty_document(texts: dict[str, str]) -> dict[str, Any]:
    fields = [
        {"name": "kind", "type": "enum", "values": [texts["value"]]},
        {"name": "text", "type": "text", "default": texts["default"]},
        {"name": "note", "type": "text", "description": texts["description"]},
    ]
    step = {
        "call": "POST /things",
        "body": {"text": texts["value"], "deep": [{"a": texts["body"]}]},
        "expect": {"status": 201, "body": texts["message"]},
    }
    return {
        "service_name": "desk",
        "purpose": texts["purpose"],
        "title": texts["title"],
        "key_features": [texts["feature"]],
        "requirements": [{"id": "R1", "text": texts["message"], "source": texts["feature"]}],
        "records": [{"name": "thing", "fields": fields, "description": texts["description"]}],
        "rules": [
            {
                "name": "r",
                "record": "thing",
                "on": "create",
                "check": texts["value"],
                "message": texts["message"],
            }
        ],
        "scenarios": [{"name": texts["scenario"], "steps": [step]}],
        "criteria": [texts["feature"]],
        "sections": [{"heading": texts["heading"], "body": texts["body"]}, {"heading": "Purpose"}],
    }


def test_a_foreign_spec_is_read_as_well_as_it_allows() -> None:
    spec = parse(FOREIGN)
    assert spec.service_name == "revenue-analytics"
    assert spec.key_features == ("Track revenue by source", "Monthly revenue report")
    assert {field.name: field.type for field in spec.records[0].fields} == {
        "source": "text",
        "amount": "decimal",
        "date": "date",
        "customer_email": "email",
        "paid": "bool",
    }
    assert spec.criteria == ("95 % of requests under 100 ms",)
    assert [section.heading for section in spec.sections] == [
        "Introduction",
        "UDC Endpoints",
        "Service Endpoints",
        "Tech Stack",
    ]
    found = {finding.rule for finding in score(spec).findings}
    assert {"no-requirements", "record-without-scenario"} <= found


def test_a_foreign_spec_without_examples_is_read_by_its_words() -> None:
    text = "# Desk\n\n## Overview\nKeep things.\n\n## Features\n- Track expenses by category\n"
    spec = parse(text)
    assert [record.name for record in spec.records] == ["expense"]
    assert spec.records[0].type_of("category") == "text"


def test_a_foreign_spec_with_nothing_in_it_is_a_poor_one_and_no_crash() -> None:
    for text in ("", "hello", "# \n\n##\n", "```\n# not a heading\n", "# A\n## Purpose\n"):
        assert score(parse(text)).grade == "poor"


@given(st.text(alphabet=st.sampled_from('# -*`|\n{}"aP:/1[]()'), max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    assert isinstance(parse(text), Spec)


def test_a_broken_line_of_our_own_is_named() -> None:
    text = render(draft(intent()).spec).replace("GET /revenues -> 200", "GET /revenues -> soon")
    with pytest.raises(Invalid, match="has no status"):
        parse(text)


def test_a_hand_edit_of_the_markdown_counts() -> None:
    text = render(draft(intent()).spec).replace("| source | text | yes |", "| source | text |  |")
    field = parse(text).records[0].field("source")
    assert field is not None
    assert not field.required


def test_the_difference_shows_what_changed_and_nothing_else() -> None:
    before = read_spec({**HEAD, **ORDERS})
    after = before.model_copy(update={"title": "Desk of orders"})
    lines = [row for row in difference(before, after).splitlines() if row[:1] in "+-"]
    assert lines == ["--- before/SPEC.md", "+++ after/SPEC.md", "-# desk", "+# Desk of orders",
                     "+| title | Desk of orders |"]  # fmt: skip
    assert difference(before, before) == ""
