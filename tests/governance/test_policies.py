"""Policies: the strictest wins, none or an error means a person, and CEL never guesses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.governance_events import ConditionValue, Decision, Policy
from domain.policy import SEVERITY, VARIABLES, Bundle, conclude, typed
from infra.cel import CelConditions, check_expression, shipped
from tests.governance.test_mode_table import inputs


def policy(policy_id: str, outcome: Decision, *conditions: str, priority: int = 0) -> Policy:
    return Policy(
        policy_id=policy_id,
        conditions=conditions or ("tier >= 0",),
        outcome=outcome,
        priority=priority,
    )


def decision(*policies: Policy, **given: Any) -> Decision:
    bundle = CelConditions(Bundle(policies=policies))
    return bundle.outcome("autonomous", inputs(**given)).decision


def test_the_strictest_outcome_wins_whatever_the_priority() -> None:
    yes = policy("yes", "auto_approve", priority=900)
    ask = policy("ask", "requires_approval", priority=1)
    no = policy("no", "blocked")
    assert decision(yes) == "auto_approve"
    assert decision(yes, ask) == "requires_approval"
    assert decision(yes, ask, no) == "blocked"


def test_without_a_policy_that_holds_a_person_decides() -> None:
    assert decision() == "requires_approval"
    assert decision(policy("never", "auto_approve", "tier > 5")) == "requires_approval"


def test_an_error_in_any_condition_approves_nothing() -> None:
    yes = policy("yes", "auto_approve")
    broken = policy("broken", "auto_approve", "1 / (tier - 2) == 1")
    assert decision(yes) == "auto_approve"
    assert decision(yes, broken) == "requires_approval"
    assert decision(policy("half", "auto_approve", "tier == 2", "1 / (tier - 2) > 0")) == (
        "requires_approval"
    )


def test_an_error_does_not_weaken_a_block() -> None:
    broken = policy("broken", "auto_approve", "1 / (tier - 2) == 1")
    assert decision(policy("no", "blocked"), broken) == "blocked"


def test_an_evaluation_error_is_an_error_and_not_a_truthy_text() -> None:
    conditions = CelConditions(Bundle(policies=(policy("div", "auto_approve", "1 / tier == 1"),)))
    (value,) = conditions.outcome("autonomous", inputs(tier=0)).conditions
    assert value.value is None
    assert "divide by zero" in value.error


@pytest.mark.parametrize("missing", ["alignment_score", "tier"])
def test_a_missing_input_approves_nothing(missing: str) -> None:
    given = inputs()
    del given[missing]
    outcome = CelConditions(shipped()).outcome("autonomous", given)
    assert outcome.decision == "requires_approval"
    assert any(value.error for value in outcome.conditions)


@pytest.mark.parametrize("wrong", ["2", 2.5, None, [2]])
def test_an_input_of_the_wrong_type_approves_nothing(wrong: Any) -> None:
    given = inputs()
    given["tier"] = wrong
    outcome = CelConditions(shipped()).outcome("autonomous", given)
    assert outcome.decision == "requires_approval"


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("alignment_score >= 1", "no matching overload"),
        ("unknown_thing == 1", "undeclared reference"),
        ("tier +", "Syntax error"),
        ("tier", "not a condition"),
        ("'low'", "not a condition"),
        ("risk_level == 1", "no matching overload"),
        ("__import__('os').system('true') == 0", "undeclared reference"),
    ],
)
def test_a_condition_is_type_checked_before_it_is_adopted(expression: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check_expression(expression)


def test_every_declared_variable_can_be_asked() -> None:
    questions = {
        "bool": "{} || true",
        "int": "{} >= 0 || true",
        "double": "{} >= 0.0 || true",
        "string": "{} == '' || true",
        "list": "size({}) >= 0",
    }
    expressions = tuple(questions[kind].format(name) for name, kind in VARIABLES.items())
    now = {"date": "2026-12-24", "weekday": "thursday", "hour": 9}
    for expression in expressions:
        asked = policy("asked", "auto_approve", expression)
        assert decision(asked, **now) == "auto_approve", expression
    assert set(inputs(**now)) == set(VARIABLES)


def test_an_effect_can_be_asked_for_by_name() -> None:
    ask = policy("ask", "requires_approval", "'money' in effects")
    yes = policy("yes", "auto_approve")
    assert decision(yes, ask, effects=("money", "personal data")) == "requires_approval"
    assert decision(yes, ask, effects=()) == "auto_approve"


def test_a_bundle_has_one_digest_whatever_its_order_and_another_after_any_change() -> None:
    one, two = policy("one", "blocked"), policy("two", "auto_approve")
    bundle = Bundle(policies=(one, two))
    assert bundle.digest == Bundle(policies=(two, one)).digest
    changed = one.model_copy(update={"priority": 1})
    assert bundle.digest != bundle.with_policy(changed).digest
    assert bundle.with_policy(changed).with_policy(one).digest == bundle.digest
    assert bundle.without("two").digest == Bundle(policies=(one,)).digest


def test_inputs_come_back_from_json_in_their_declared_types() -> None:
    read = typed({"alignment_score": 1, "tier": 2, "effects": ["money"], "user_present": True})
    assert read == {
        "alignment_score": 1.0,
        "tier": 2,
        "effects": ("money",),
        "user_present": True,
    }
    assert isinstance(read["alignment_score"], float)


OUTCOMES = st.sampled_from(sorted(SEVERITY))
VALUES = st.sampled_from([True, False, None])


@given(st.lists(st.tuples(OUTCOMES, st.lists(VALUES, min_size=1, max_size=3)), max_size=6))
def test_whatever_the_values_an_approval_needs_a_policy_and_no_error(
    drawn: list[tuple[Decision, list[bool | None]]],
) -> None:
    policies = [
        policy(f"p{index}", outcome, *["tier == 0"] * len(values))
        for index, (outcome, values) in enumerate(drawn)
    ]
    conditions = tuple(
        ConditionValue(policy_id=p.policy_id, expression=e, value=v)
        for p, (_, values) in zip(policies, drawn, strict=True)
        for e, v in zip(p.conditions, values, strict=True)
    )
    outcome = conclude(policies, conditions)
    holding = [p.outcome for p, (_, v) in zip(policies, drawn, strict=True) if all(v)]
    if outcome.decision == "auto_approve":
        assert holding
        assert set(holding) == {"auto_approve"}
        assert all(condition.value is not None for condition in conditions)
    if "blocked" in holding:
        assert outcome.decision == "blocked"


@given(st.lists(OUTCOMES, max_size=5), OUTCOMES)
def test_one_more_policy_never_makes_a_decision_more_lenient_than_it_says(
    outcomes: list[Decision], more: Decision
) -> None:
    policies = [policy(f"p{i}", outcome) for i, outcome in enumerate(outcomes)]
    before = decision(*policies) if policies else "auto_approve"
    after = decision(*policies, policy("more", more))
    assert SEVERITY[after] >= min(SEVERITY[before], SEVERITY[more])
    assert SEVERITY[after] >= SEVERITY[more]
