"""A SPEC that exists is consistent; what is wrong is named by its place and what is allowed."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.spec import words
from domain.spec.model import Spec, SpecInvalid, read_spec, spec_digest
from tests.spec.intents import ORDERS

SCHEMA = Path(__file__).parents[2] / "domain" / "spec" / "schema.json"
HEAD = {"service_name": "desk", "purpose": "Keep the things of the desk in good order"}


def with_field(**field: Any) -> dict[str, Any]:
    return {**HEAD, "records": [{"name": "thing", "fields": [{"name": "a", **field}]}]}


def spec(**parts: Any) -> dict[str, Any]:
    return {**HEAD, **ORDERS, **parts}


def test_a_whole_spec_reads_and_dumps_to_the_same() -> None:
    read = read_spec(spec())
    assert read_spec(read.document()) == read
    assert read.record("order") is not None
    assert json.loads(json.dumps(read.document())) == read.document()


@pytest.mark.parametrize(
    ("document", "path", "allowed"),
    [
        (with_field(type="strange"), "records[0].fields[0].type", "text, int, decimal"),
        (with_field(type="enum"), "records[0].fields[0].values", "required for an enum"),
        (with_field(type="ref:nobody"), "records[0].fields[0].type", "records are: thing"),
        (with_field(type="int", min="x"), "records[0].fields[0].min", "not a value of type int"),
        (with_field(type="int", min=5, max=1), "records[0].fields[0].min", "above max 1"),
        (with_field(type="text", min=1), "records[0].fields[0].min", "use max_length"),
        (
            with_field(type="bool", max_length=3),
            "records[0].fields[0].max_length",
            "text and email",
        ),
        (with_field(type="int", default="x"), "records[0].fields[0].default", "type int"),
        (
            with_field(type="ref:thing", personal=True),
            "records[0].fields[0].personal",
            "a reference is not",
        ),
        (
            {
                **HEAD,
                "records": [
                    {
                        "name": "thing",
                        "fields": [
                            {"name": "who", "type": "text", "personal": True},
                            {"name": "erased", "type": "bool"},
                        ],
                    }
                ],
            },
            "records[0].fields[1].name",
            "personal data",
        ),
        (
            {**HEAD, "records": [{"name": "thing", "fields": [{"name": "id", "type": "int"}]}]},
            "records[0].fields[0].name",
            "reserved",
        ),
        (
            {**HEAD, "records": [{"name": "class", "fields": [{"name": "a", "type": "int"}]}]},
            "records[0].name",
            "reserved",
        ),
        ({**HEAD, "records": [{"name": "A B"}]}, "records[0].name", "^[a-z][a-z0-9_]*$"),
        (spec(nonsense=1), "nonsense", "published schema"),
        (
            spec(reports=[{"name": "r", "record": "order", "measure": "sum", "field": "tracking"}]),
            "reports[0].field",
            "decimal, int; tracking is text",
        ),
        (
            spec(reports=[{"name": "r", "record": "order", "measure": "sum"}]),
            "reports[0].field",
            "required for sum",
        ),
        (
            spec(
                reports=[
                    {"name": "r", "record": "order", "measure": "count", "group_by": ["day(total)"]}
                ]
            ),
            "reports[0].group_by[0]",
            "needs a date",
        ),
        (
            spec(
                rules=[
                    {"name": "r", "record": "order", "on": "fly", "check": "true", "message": "m"}
                ]
            ),
            "rules[0].on",
            "create, update, delete, submit, ship, cancel",
        ),
        (
            spec(
                scenarios=[
                    {"name": "s", "steps": [{"call": "FETCH /x", "expect": {"status": 200}}]}
                ]
            ),
            "scenarios[0].steps[0].call",
            "GET|POST|PATCH|DELETE",
        ),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], path: str, allowed: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        read_spec(document)
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert found, caught.value.problems
    assert any(allowed in problem.message for problem in found), found


def test_a_state_that_nothing_leads_to_is_refused() -> None:
    orders = json.loads(json.dumps(ORDERS))
    orders["records"][1]["states"]["transitions"][1]["from"] = ["nowhere"]
    with pytest.raises(SpecInvalid, match="nothing leads to state 'nowhere'"):
        read_spec({**HEAD, **orders})


def test_numbers_are_kept_as_text_so_that_they_stay_exact() -> None:
    read = read_spec(with_field(type="number", min=0.1, max=10))
    field = read.records[0].fields[0]
    assert (field.type, field.min, field.max) == ("decimal", "0.1", "10")


def test_the_digest_knows_content_and_nothing_else() -> None:
    one, two = read_spec(spec()), read_spec(dict(reversed(list(spec().items()))))
    assert spec_digest(one) == spec_digest(two)
    assert spec_digest(one) != spec_digest(read_spec(spec(title="Another")))
    assert len(spec_digest(one)) == 64


def test_a_default_that_is_written_out_changes_no_digest() -> None:
    assert spec_digest(read_spec(spec())) == spec_digest(read_spec(spec(tier=2, version="1.0.0")))


def test_group_keys_are_short_where_they_can_be() -> None:
    both = spec(
        reports=[
            {
                "name": "r",
                "record": "order",
                "measure": "count",
                "group_by": ["month(ordered_on)", "year(due_on)", "year(ordered_on)", "customer"],
            }
        ]
    )
    keys = [group.key for group in read_spec(both).reports[0].groups]
    assert keys == ["month", "year_due_on", "year_ordered_on", "customer"]


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("revenue", "revenues"),
        ("category", "categories"),
        ("box", "boxes"),
        ("person", "people"),
        ("order_line", "order_lines"),
        ("day", "days"),
        ("address", "addresses"),
        ("status", "statuses"),
        ("analysis", "analyses"),
        ("stock", "stock"),
    ],
)
def test_plurals_and_back(one: str, many: str) -> None:
    assert words.plural(one) == many
    assert words.singular(many) == one


def test_the_published_schema_is_the_models() -> None:
    """Write it again with: python -m domain.spec.schema > domain/spec/schema.json"""
    assert json.loads(SCHEMA.read_text()) == Spec.model_json_schema(by_alias=True)
