"""What counts as passed tests: never an exit code alone."""

from pathlib import Path

from services.build_executor.tests_run import run_tests
from tests.executor.world import executor

FAILING = {
    "scenarios": [
        {
            "name": "A lot that cannot be",
            "steps": [
                {
                    "call": "POST /lots",
                    "body": {"street": "Main", "places": 10},
                    "expect": {"status": 409},
                }
            ],
        }
    ]
}


def tree(folder: Path, text: str) -> Path:
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_it.py").write_text(text)
    return folder


async def test_passed_tests_are_counted(tmp_path: Path) -> None:
    text = "def test_a(): pass\ndef test_b(): pass\n"
    outcome = await run_tests(tree(tmp_path / "t", text), wanted="auto")
    assert (outcome.ok, outcome.passed, outcome.failed) == (True, 2, 0)


async def test_failed_and_broken_tests_are_counted(tmp_path: Path) -> None:
    text = "import pytest\ndef test_a(): pass\ndef test_b(): assert 1 == 2\n"
    text += "@pytest.fixture\ndef broken(): raise ValueError\ndef test_c(broken): pass\n"
    outcome = await run_tests(tree(tmp_path / "t", text), wanted="auto")
    assert (outcome.ok, outcome.passed, outcome.failed) == (False, 1, 2)
    assert "assert 1 == 2" in outcome.report


async def test_a_test_that_ends_the_run_with_0_has_not_passed(tmp_path: Path) -> None:
    text = "import os\ndef test_a(): os._exit(0)\ndef test_b(): assert False\n"
    outcome = await run_tests(tree(tmp_path / "t", text), wanted="auto")
    assert outcome.result.exit_code == 0
    assert not outcome.ok


async def test_no_tests_are_not_passed_tests(tmp_path: Path) -> None:
    assert not (await run_tests(tree(tmp_path / "t", ""), wanted="auto")).ok


async def test_a_service_that_fails_its_scenario_is_never_packaged(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept(FAILING)
        done = await site.build(build, "failed", "healthy")
        assert done["reason"].startswith("test: 1 of "), done
        types = await site.events(f"events.build.{build}")
        assert types == ["BuildStarted", "CodeGenerated", "TestsFailed", "BuildFailed"]
        log = await site.world.client.get(f"/builds/{build}/log")
        assert "409" in log.text
        assert done["artifact_digest"] == ""
        assert await site.events("events.deployment.parking-lots") == []
