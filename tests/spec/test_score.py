"""Scores: pure, with every lost point explained; the optimizer never lowers and never removes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.delivery_events import Score
from domain.spec.draft import draft
from domain.spec.findings import PARTS, SHARES
from domain.spec.model import Spec, read_spec
from domain.spec.optimize import lost_content, optimize
from domain.spec.score import SCORER_VERSION, grade, score
from infra.spec_cel import judge
from tests.spec.intents import EXPENSES, ORDERS, SHOP, TASKS, intent

GOOD = (
    "Finance books revenues of each source daily; both owners compare months and customers, "
    "then plan what the shop sells next"
)
HEAD = {"service_name": "desk", "purpose": "Keep the orders of a small shop, for its two owners"}


def bare(**parts: Any) -> Spec:
    return read_spec({**HEAD, **ORDERS, **parts})


def rules(scored: Score) -> set[str]:
    return {finding.rule for finding in scored.findings}


def test_the_lost_points_explain_the_score() -> None:
    for spec in (bare(), draft(intent()).spec, draft(SHOP).spec):
        scored = score(spec)
        lost = sum(finding.points for finding in scored.findings)
        assert scored.total == pytest.approx(100 - lost, abs=0.3)
        parts = scored.model_dump()
        weighted = sum(parts[part] * weight / 100 for part, weight in PARTS.items())
        assert scored.total == pytest.approx(weighted, abs=0.01)


def test_every_finding_says_where_why_and_what_mends_it() -> None:
    for finding in score(bare()).findings:
        assert all((finding.place, finding.message, finding.fix))
        assert finding.rule in {rule for rules in SHARES.values() for rule in rules}
        assert finding.points > 0


def test_five_documents_get_five_scores() -> None:
    documents = [
        bare(),
        read_spec({**HEAD, "records": ORDERS["records"][:1]}),
        read_spec({"service_name": "empty", "purpose": "Do it"}),
        draft(intent()).spec,
        draft(intent(features=("Track revenues", "Fast, scalable and secure", "Forecasting"))).spec,
        draft(EXPENSES).spec,
    ]
    totals = [score(spec).total for spec in documents]
    assert len(set(totals)) == len(totals), totals
    assert min(totals) == totals[2]


def test_a_spec_without_records_is_poor_whatever_else_it_says() -> None:
    scored = score(read_spec({**HEAD, "criteria": ["All is done in 3 days."]}))
    assert scored.grade == "poor"
    assert {"no-records", "nothing-to-build"} <= rules(scored)


@pytest.mark.parametrize(
    ("total", "word"),
    [(95, "excellent"), (90, "excellent"), (77.2, "good"), (60, "fair"), (59, "poor")],
)
def test_grades(total: float, word: str) -> None:
    assert grade(total) == word


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"purpose": "Do it"}, "purpose-too-short"),
        ({"purpose": "An easy and flexible place for various things of all kinds"}, "weak-word"),
        (
            {"purpose": "Keep orders in a scalable way for the people of the shop"},
            "quality-without-number",
        ),
        ({"dependencies": ["desk"]}, "dependency"),
        ({"requirements": [{"id": "R1", "text": "orders, somehow"}]}, "requirement-form"),
        (
            {"requirements": [{"id": "R1", "text": "The desk shall fly."}]},
            "requirement-without-scenario",
        ),
    ],
)
def test_each_smell_is_found(change: dict[str, Any], rule: str) -> None:
    assert rule in rules(score(bare(**change)))
    assert rule not in rules(score(draft(intent(purpose=GOOD)).spec))


def test_an_example_that_cannot_be_true_is_an_error() -> None:
    wrong = [
        {"call": "POST /orders", "body": {"colour": "red"}, "expect": {"status": 201}},
        {"call": "POST /orders", "body": {"total": "-5"}, "expect": {"status": 201}},
        {"call": "GET /nowhere", "expect": {"status": 200}},
    ]
    for step in wrong:
        scored = score(bare(scenarios=[{"name": "s", "steps": [step]}]))
        (found,) = [f for f in scored.findings if f.rule == "scenario-call"]
        assert (found.place, found.severity) == ("scenarios[0].steps[0]", "error")


def test_records_that_need_one_another_cannot_be_built() -> None:
    circle = [
        {"name": "egg", "fields": [{"name": "hen", "type": "ref:hen", "required": True}]},
        {"name": "hen", "fields": [{"name": "egg", "type": "ref:egg", "required": True}]},
    ]
    assert "impossible-record" in rules(score(read_spec({**HEAD, "records": circle})))


def test_a_state_that_sounds_unfinished_and_has_no_exit_is_pointed_out() -> None:
    orders = json.loads(json.dumps(ORDERS))
    orders["records"][1]["states"]["transitions"][2]["to"] = "waiting"
    found = [
        f for f in score(read_spec({**HEAD, **orders})).findings if f.rule == "state-without-exit"
    ]
    assert [f.message for f in found] == ["no command leaves 'waiting'"]


def test_the_score_is_the_same_each_time_and_names_its_version() -> None:
    assert score(bare()) == score(bare())
    assert score(bare()).scorer_version == SCORER_VERSION


def test_the_optimizer_reaches_the_gate_and_stops_there() -> None:
    before = bare()
    better = optimize(before, 90, judge=judge)
    assert better.score.total >= 90 > score(before).total
    assert better.changes
    assert not better.missing
    assert better.score == score(better.spec)


def test_what_only_a_person_can_say_is_asked_for() -> None:
    better = optimize(read_spec({"service_name": "empty", "purpose": "Do it"}), 90)
    assert better.score.total < 90
    assert any("name each record" in question for question in better.missing)


@given(
    drop=st.sets(st.sampled_from(["rules", "reports"])),
    purpose=st.sampled_from(["", "Do it", HEAD["purpose"], "Fast and easy, somehow, for many"]),
    texts=st.lists(
        st.sampled_from(
            ["The desk shall keep orders.", "orders", "It must be good", "Ship orders"]
        ),
        unique=True,
    ),
    features=st.lists(st.sampled_from(["Keep orders", "Fly to the moon"]), unique=True),
    gate=st.sampled_from([50, 90, 100]),
)
def test_the_optimizer_never_lowers_the_score_and_never_removes_anything(
    drop: set[str], purpose: str, texts: list[str], features: list[str], gate: float
) -> None:
    parts = {name: part for name, part in ORDERS.items() if name not in drop}
    requirements = [{"id": f"R{i}", "text": text} for i, text in enumerate(texts, 1)]
    head = {"service_name": "desk", "purpose": purpose, "key_features": features}
    before = read_spec({**head, **parts, "requirements": requirements})
    better = optimize(before, gate, judge=judge)
    assert better.score.total >= score(before).total
    assert lost_content(before, better.spec) == ()
    assert optimize(better.spec, gate, judge=judge).score.total >= better.score.total


def test_lost_content_would_notice_a_loss() -> None:
    before = bare()
    after = before.model_copy(update={"rules": ()})
    assert "due-after-ordered" in lost_content(before, after)


def test_a_drafted_spec_is_good_from_the_start() -> None:
    for given_intent in (intent(), EXPENSES, TASKS, SHOP):
        assert score(draft(given_intent).spec).total >= 90
