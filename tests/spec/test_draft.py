"""SPECs from plain text: what it names is built, what it does not name is asked for."""

import pytest

from domain.intent import Intent
from domain.spec.draft import NeedsDetail, draft
from domain.spec.language import clauses
from domain.spec.model import SpecInvalid, spec_digest
from domain.spec.score import score
from infra.spec_cel import judge
from tests.spec.intents import EXPENSES, ORDERS, SHOP, TASKS, VAGUE, intent


def test_the_reference_intent_becomes_a_buildable_spec() -> None:
    spec = draft(intent()).spec
    (revenue,) = spec.records
    wanted = {"source": "text", "amount": "decimal", "date": "date", "customer": "text"}
    assert {name: revenue.type_of(name) for name in wanted} == wanted
    reports = {report.name: report.group_by for report in spec.reports}
    assert reports["monthly-revenue"] == ("month(date)",)
    assert reports["revenue-by-source"] == ("source",)
    assert reports["revenue-by-customer"] == ("customer",)
    assert all(report.measure == "sum" and report.field == "amount" for report in spec.reports)
    assert score(spec).total >= 90


def test_a_list_in_brackets_becomes_an_enum_and_verbs_become_states() -> None:
    (expense,) = draft(EXPENSES).spec.records
    category = expense.field("category")
    assert category is not None
    assert category.values == ("travel", "meals", "other")
    assert expense.states is not None
    moves = {t.command: (t.from_, t.to) for t in expense.states.transitions}
    assert moves == {
        "submit": (("open",), "submitted"),
        "approve": (("submitted",), "approved"),
        "reject": (("submitted",), "rejected"),
    }


def test_marking_something_as_done_is_a_command() -> None:
    spec = draft(TASKS).spec
    assert spec.records[0].commands == ("mark_done",)
    assert spec.reports[0].measure == "count"
    assert spec.reports[0].group_by == ("state",)
    description = spec.records[0].field("description")
    assert description is not None
    assert not description.required


def test_a_purpose_beside_features_adds_only_what_it_says_to_be_kept() -> None:
    told = "Employees submit what they spent, managers approve or reject it; store everything"
    made = draft(EXPENSES.model_copy(update={"purpose": told})).spec
    assert [record.name for record in made.records] == ["expense"]


def test_each_verb_has_its_own_objects() -> None:
    (clause,) = clauses("Publish articles and collect comments from readers")
    assert clause.commands_of == {"article": ["publish"], "comment": []}


def test_a_group_that_is_a_record_is_a_reference() -> None:
    spec = draft(SHOP).spec
    assert [record.name for record in spec.records] == ["customer", "product", "order"]
    order = spec.record("order")
    assert order is not None
    assert order.type_of("customer") == "ref:customer"
    assert [r.measure for r in spec.reports if r.name == "average-order-by-customer"] == ["avg"]


@pytest.mark.parametrize(
    "given",
    [
        VAGUE,
        intent("governance", "AI-powered blueprint alignment and auto-approval engine", ()),
        intent("anything", "Record whatever our team finds useful and interesting", ("Dashboard",)),
        intent("tracker", "Track everything that is important to us", ()),
        intent("manager", "Manage all our things better than before", ("Store data",)),
        intent("helper", "Make everything better and faster for everybody", ("Be smart",)),
    ],
)
def test_what_names_nothing_is_asked_for_and_never_invented(given: Intent) -> None:
    with pytest.raises(NeedsDetail) as caught:
        draft(given)
    assert "Which records" in caught.value.questions[0]
    assert all(any(f in q for q in caught.value.questions) for f in given.key_features)


def test_a_feature_that_nothing_shows_is_said_to_be_so() -> None:
    made = draft(intent(features=("Track revenues by source", "Forecasting")))
    assert "nothing in this SPEC shows 'Forecasting'" in made.notes
    unshown = [r.source for r in made.spec.requirements if not r.scenarios]
    assert unshown == ["Forecasting"]


def test_every_part_says_which_rule_it_comes_from() -> None:
    notes = "\n".join(draft(intent()).notes)
    assert "record revenue: named by 'Track revenues by source'" in notes
    assert "revenue.source (text): grouped by in 'Track revenues by source'" in notes


def test_a_structured_spec_is_used_as_it_is_and_completed() -> None:
    made = draft(intent(spec=ORDERS), judge=judge)
    assert made.submitted
    assert [record.name for record in made.spec.records] == ["customer", "order"]
    assert made.spec.rules[0].check == ORDERS["rules"][0]["check"]
    calls = {step.call for scenario in made.spec.scenarios for step in scenario.steps}
    assert {"POST /orders/$id/submit", "POST /orders/$id/ship", "POST /orders/$id/cancel"} <= calls
    assert "GET /reports/monthly-total" in calls


def test_without_a_judge_no_scenario_steps_on_a_rule() -> None:
    made = draft(intent(spec=ORDERS))
    created = [
        step
        for scenario in made.spec.scenarios
        for step in scenario.steps
        if step.call == "POST /orders" and step.expect.status == 201
    ]
    assert not created


def test_own_scenarios_are_kept_and_only_missing_calls_are_added() -> None:
    own = {
        "name": "mine",
        "steps": [{"call": "GET /customers", "expect": {"status": 200}}],
    }
    made = draft(intent(spec={**ORDERS, "scenarios": [own]}), judge=judge)
    assert made.spec.scenarios[0].name == "mine"
    assert len(made.spec.scenarios) > 5


def test_every_report_gets_a_scenario_of_its_own() -> None:
    own = {"name": "mine", "steps": [{"call": "GET /reports/a", "expect": {"status": 200}}]}
    reports = [{"name": name, "record": "order", "measure": "count"} for name in "ab"]
    made = draft(intent(spec={**ORDERS, "reports": reports, "scenarios": [own]}), judge=judge)
    called = {step.call for scenario in made.spec.scenarios for step in scenario.steps}
    assert {"GET /reports/a", "GET /reports/b"} <= called


def test_names_of_records_may_come_in_camel_case() -> None:
    spec = {
        "records": [
            {"name": "OrderLine", "fields": [{"name": "text", "type": "text"}]},
            {"name": "Part", "fields": [{"name": "line", "type": "ref:OrderLine"}]},
        ],
        "reports": [{"name": "r", "record": "OrderLine", "measure": "count"}],
    }
    made = draft(intent(spec=spec)).spec
    assert made.records[0].plural == "order_lines"
    assert made.records[1].fields[0].ref == "order_line"
    assert made.reports[0].record == "order_line"


def test_the_spec_of_an_intent_cannot_change_whose_it_is() -> None:
    made = draft(intent(spec={**ORDERS, "service_name": "other", "tier": 0})).spec
    assert (made.service_name, made.tier) == ("revenue-analytics", 2)


def test_a_wrong_structured_spec_is_refused_with_its_place() -> None:
    with pytest.raises(SpecInvalid, match=r"records\[0\]\.fields\[0\]\.type"):
        draft(intent(spec={"records": [{"name": "a", "fields": [{"name": "b", "type": "c"}]}]}))


def test_the_same_intent_gives_the_same_spec() -> None:
    for given in (intent(), EXPENSES, TASKS, SHOP):
        assert spec_digest(draft(given).spec) == spec_digest(draft(given).spec)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("Track revenues and costs by source", ["revenue", "cost"]),
        ("Revenue tracking", ["revenue"]),
        ("Keeps a log of temperature readings per sensor", ["temperature_reading"]),
        ("Manage customers, orders and invoices", ["customer", "order", "invoice"]),
        ("Expense approval workflow", ["expense"]),
        ("Store all customer information", ["customer"]),
        ("Search customers by name", []),
        ("Customer segmentation", []),
        ("Monthly revenue report", []),
        ("Customers create tickets with a subject", ["ticket"]),
        ("Approve time entries", ["time_entry"]),
        ("Create events with a title", ["event_entry"]),
    ],
)
def test_records_are_what_somebody_keeps(text: str, records: list[str]) -> None:
    (clause,) = clauses(text)
    assert clause.records == records
