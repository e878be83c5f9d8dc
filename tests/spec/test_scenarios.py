"""Scenarios that a SPEC implies hold for every SPEC: valid bodies fit, wrong ones do not."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.spec.calls import call_problem, fits, pattern
from domain.spec.model import Scenario, Spec, read_spec
from domain.spec.scenarios import implied
from infra.spec_cel import judge
from tests.spec.intents import ORDERS

HEAD = {"service_name": "desk", "purpose": "Keep the things of the desk in good order"}
numbers = st.decimals(-1000, 1000, places=2)
days = st.dates(date(1990, 1, 1), date(2060, 1, 1))


@st.composite
def fields(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["text", "int", "decimal", "bool", "date", "email", "enum", "uuid"])
    )
    field: dict[str, Any] = {"name": name, "type": kind, "required": draw(st.booleans())}
    field["unique"] = draw(st.booleans()) and kind not in ("bool", "enum")
    match kind:
        case "text":
            field["max_length"] = draw(st.none() | st.integers(4, 300))
        case "int" | "decimal":
            field |= draw(
                bounds(numbers.map(lambda n: n if kind == "decimal" else Decimal(int(n))))
            )
        case "date":
            field |= draw(bounds(days))
        case "enum":
            field["values"] = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    return {key: value for key, value in field.items() if value is not None}


@st.composite
def bounds(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, str]:
    """At least a little room between the bounds: a unique field needs two values."""
    low, high = sorted((draw(values), draw(values)))
    high += timedelta(days=5) if isinstance(high, date) else 5
    found = {"min": str(low), "max": str(high)}
    return {name: found[name] for name in draw(st.sets(st.sampled_from(sorted(found))))}


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    first = [draw(fields(f"f{i}")) for i in range(draw(st.integers(1, 5)))]
    second = [draw(fields(f"g{i}")) for i in range(draw(st.integers(0, 3)))]
    link = {"name": "first", "type": "ref:first", "required": draw(st.booleans())}
    records = [{"name": "second", "fields": [*second, link]}, {"name": "first", "fields": first}]
    return read_spec({**HEAD, "records": records})


def steps(spec: Spec, *statuses: int) -> list[Any]:
    return [
        step
        for scenario in implied(spec, judge)
        for step in scenario.steps
        if step.expect.status in statuses
    ]


@given(specs())
def test_every_call_is_offered_and_every_valid_body_fits(spec: Spec) -> None:
    assert [call_problem(spec, step) for step in steps(spec, 200, 201, 204) if step] == [
        "" for _ in steps(spec, 200, 201, 204)
    ]
    created = {step.call for step in steps(spec, 201)}
    assert created == {"POST /firsts", "POST /seconds"}


@given(specs())
def test_every_refused_body_has_something_wrong_in_it(spec: Spec) -> None:
    for step in steps(spec, 422):
        record = next(r for r in spec.records if f"/{r.plural}" == step.path)
        wrong = [
            field.name
            for field in record.fields
            if (field.required and field.name not in step.body)
            or (field.name in step.body and not fits(field, step.body[field.name]))
        ]
        assert len(wrong) == 1, step


@given(specs())
def test_a_second_example_differs_where_it_must(spec: Spec) -> None:
    for scenario in implied(spec, judge):
        if "is taken" in scenario.name:
            first, second = scenario.steps[-2].body, scenario.steps[-1].body
            assert first is not None
            assert second is not None
            same = {name for name in first if first[name] == second.get(name)}
            record = next(r for r in spec.records if f"/{r.plural}" == scenario.steps[-1].path)
            assert any(field.unique and field.name in same for field in record.fields)


def scenario(spec: Spec, name: str) -> Scenario:
    return next(found for found in implied(spec, judge) if found.name == name)


def test_what_a_record_needs_is_created_before_it() -> None:
    spec = read_spec({**HEAD, **ORDERS})
    calls = [step.call for step in scenario(spec, "create and read an order").steps]
    assert calls[:2] == ["POST /customers", "POST /orders"]
    body = scenario(spec, "create and read an order").steps[1].body
    assert body is not None
    assert body["customer"] == "$id.customer"


def test_a_command_is_reached_by_the_shortest_way_and_refused_afterwards() -> None:
    spec = read_spec({**HEAD, **ORDERS})
    found = scenario(spec, "ship an order").steps
    assert [(pattern(step.path), step.expect.status) for step in found[2:]] == [
        ("/orders/{id}/submit", 200),
        ("/orders/{id}/ship", 200),
        ("/orders/{id}/ship", 409),
    ]
    assert found[3].body is not None


def test_bodies_are_sought_that_keep_the_rules() -> None:
    spec = read_spec({**HEAD, **ORDERS})
    for step in steps(spec, 201):
        if step.path == "/orders" and step.body.get("due_on"):
            assert step.body["due_on"] > step.body["ordered_on"]


def test_a_report_says_what_must_come_out() -> None:
    spec = read_spec({**HEAD, **ORDERS})
    last = scenario(spec, "ask for the report monthly-total").steps[-1]
    (row,) = last.expect.body["rows"]
    assert (row["month"], row["state"]) == ("2030-01", "draft")
    found = scenario(spec, "ask for the report monthly-total").steps
    totals = [Decimal(s.body["total"]) for s in found if s.path == "/orders" and s.body]
    assert len(totals) == 2
    assert Decimal(row["value"]) == sum(totals)


def test_a_unique_field_with_one_possible_value_leads_to_no_second_record() -> None:
    only = {"name": "n", "type": "int", "min": 1, "max": 1, "unique": True, "required": True}
    report = {"name": "all", "record": "thing", "measure": "count"}
    document = {**HEAD, "records": [{"name": "thing", "fields": [only]}], "reports": [report]}
    found = scenario(read_spec(document), "ask for the report all").steps
    assert [step.call for step in found] == ["GET /reports/all"]
