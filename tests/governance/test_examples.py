"""The intents that ship as examples, through a running governance service in autonomous mode."""

import json
from pathlib import Path

import pytest

from domain.governance_events import AlignmentAssessed, DecisionMade
from tests.governance.world import World

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
HOLDS_PERSONAL_DATA = {"order-desk", "room-booking"}  # addresses of customers and of guests


def test_there_are_examples() -> None:
    assert set(EXAMPLES) >= {"revenue-analytics", *HOLDS_PERSONAL_DATA}


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_is_routine_or_waits_for_the_personal_data_it_holds(
    world: World, name: str
) -> None:
    intent = await world.queue(**EXAMPLES[name])
    assessed, made = (await world.decided(intent))[:2]
    assert isinstance(assessed, AlignmentAssessed)
    assert isinstance(made, DecisionMade)
    found = assessed.assessment
    assert found.aligned
    assert (found.tier, found.self_reference) == (2, False)
    if name in HOLDS_PERSONAL_DATA:
        assert found.effects == ("personal data",)
        assert found.risk_factors == ("personal data (+4)",)
        assert made.decision == "requires_approval"
    else:
        assert found.effects == ()
        assert (found.risk_level, found.risk_factors) == ("low", ())
        assert made.decision == "auto_approve"


async def test_the_readme_example_is_aligned_at_its_reference_result(world: World) -> None:
    assessed = (await world.decided(await world.queue(**EXAMPLES["revenue-analytics"])))[0]
    assert isinstance(assessed, AlignmentAssessed)
    assert abs(assessed.assessment.alignment_score - 0.92) <= 0.03
