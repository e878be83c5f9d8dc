"""Every cell of the two tables in docs/governance.md, one step on either side of each threshold."""

import itertools
from typing import Any

import pytest

from domain.governance_events import Decision, Mode
from domain.policy import Inputs
from infra.cel import MODES, CelConditions, shipped

CONDITIONS = CelConditions(shipped())
RISKS = ("low", "medium", "high", "critical")


def inputs(**given: Any) -> Inputs:
    return {
        "alignment_score": 0.99,
        "aligned": True,
        "risk_level": "low",
        "tier": 2,
        "claimed_tier": 2,
        "self_reference": False,
        "effects": (),
        "user_present": False,
        "mode": "autonomous",
        "kind": "service",
        "service_type": "domain",
        "priority": "low",
        "source": "cli",
        "submitted_by": "ann",
        "authenticated": True,
        "dependencies": (),
        "dependents": (),
        "evaluator": "rubric",
        **given,
    }


def decided(mode: Mode, **given: Any) -> tuple[Decision, str]:
    outcome = CONDITIONS.outcome(mode, inputs(mode=mode, **given))
    return outcome.decision, outcome.policy_applied


def expected(
    mode: Mode, tier: int, score: float, risk: str, *, present: bool, own: bool
) -> Decision:
    """The two tables, written out again by hand."""
    if score < 0.70:
        return "blocked"
    low = risk == "low"
    routine = {
        ("supervised", 0): False,
        ("supervised", 1): False,
        ("supervised", 2): score >= 0.90 and low,
        ("autonomous", 0): False,
        ("autonomous", 1): score >= 0.90 and not present,
        ("autonomous", 2): score >= 0.85 and low,
        ("aggressive", 0): score >= 0.95 and low and not own,
        ("aggressive", 1): score >= 0.90 and not own,
        ("aggressive", 2): score >= 0.80 and not own,
    }[mode, min(tier, 2)]
    return "auto_approve" if routine else "requires_approval"


SCORES = (0.0, 0.69, 0.70, 0.79, 0.80, 0.84, 0.85, 0.89, 0.90, 0.94, 0.95, 1.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tier", [0, 1, 2, 3])
def test_every_cell_of_the_mode_table_holds_on_both_sides_of_its_threshold(
    mode: Mode, tier: int
) -> None:
    seen = set()
    for score, risk, present, own in itertools.product(SCORES, RISKS, (False, True), (False, True)):
        found, _ = decided(
            mode,
            tier=tier,
            alignment_score=score,
            risk_level=risk,
            user_present=present,
            self_reference=own,
        )
        assert found == expected(mode, tier, score, risk, present=present, own=own), (
            mode,
            tier,
            score,
            risk,
            present,
            own,
        )
        seen.add(found)
    assert {"blocked", "requires_approval"} <= seen


def test_the_four_shipped_policies_say_what_they_are_published_as() -> None:
    published = {
        "block_misaligned": (("alignment_score < 0.70",), "blocked", 100),
        "require_approval_tier0": (("tier == 0",), "requires_approval", 10),
        "auto_approve_while_away": (
            ("!user_present", "tier == 1", "alignment_score >= 0.90"),
            "auto_approve",
            5,
        ),
        "auto_approve_tier2_aligned": (
            ("tier >= 2", "alignment_score >= 0.85", "risk_level == 'low'"),
            "auto_approve",
            1,
        ),
    }
    found = {
        policy.policy_id: (policy.conditions, policy.outcome, policy.priority)
        for policy in shipped().policies
        if policy.policy_id in published
    }
    assert found == published
    assert [policy.policy_id for policy in shipped().of("autonomous")] == list(published)


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({"alignment_score": 0.5, "tier": 0}, "block_misaligned"),
        ({"tier": 0}, "require_approval_tier0"),
        ({"tier": 1}, "auto_approve_while_away"),
        ({"tier": 3}, "auto_approve_tier2_aligned"),
        ({"tier": 1, "user_present": True}, ""),
        ({"tier": 2, "risk_level": "medium"}, ""),
    ],
)
def test_the_policy_that_decided_is_named(given: dict[str, Any], policy: str) -> None:
    assert decided("autonomous", **given)[1] == policy


def test_the_tests_inside_the_shipped_bundle_pass_and_are_many() -> None:
    assert len(shipped().tests) >= 12
    assert CONDITIONS.failing_tests() == ()
