"""The tests that come with each part pass where its build runs them: without network or command.

A test of a part's area that needs more stops every later build of that part, and only there.
"""

from pathlib import Path

import pytest

from infra import components
from infra.sandbox import Limits
from infra.settings import BASE_PORTS
from services.build_executor.make import COMPONENT_TESTS_S, TEST_TOOLS
from services.build_executor.tests_run import Outcome, run_tests

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(wall_s=COMPONENT_TESTS_S, cpu_s=int(COMPONENT_TESTS_S))

pytestmark = pytest.mark.timeout(int(COMPONENT_TESTS_S) + 60)


async def run(tmp_path: Path, name: str, *arguments: str) -> Outcome:
    """The part's tests as its build runs them, on this very source."""
    tree = tmp_path / "tree"  # the sandbox's own user may read it, but not what pytest gives
    for path, content in components.project(ROOT, name, "0.0.0").items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    chosen = (*TEST_TOOLS, *arguments, *components.tests_of(ROOT, name))
    return await run_tests(tree, wanted="auto", limits=LIMITS, arguments=chosen)


@pytest.mark.parametrize("name", BASE_PORTS)
async def test_every_test_of_a_part_can_be_loaded(tmp_path: Path, name: str) -> None:
    outcome = await run(tmp_path, name, "--collect-only")
    assert outcome.result.ok, outcome.result.output[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("name", BASE_PORTS)
async def test_the_tests_of_a_part_pass(tmp_path: Path, name: str) -> None:
    outcome = await run(tmp_path, name)
    assert outcome.ok, outcome.result.output[-5000:]
    assert outcome.passed > 10
