"""Runs a project's own tests in the sandbox and reads the outcome."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.sandbox import Limits, Result, best_level, run

_PRODUCT = Path(__file__).resolve().parents[2]
_REPORT_CHARS = 8000
_COUNTS = re.compile(r"(\d+) (passed|failed|errors?)\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """``report`` is the end of the output, for people."""

    passed: int
    failed: int
    result: Result

    @property
    def ok(self) -> bool:
        """No exit code alone will do: a test may end its process with 0 before the others ran."""
        return self.result.ok and self.passed > 0 and self.failed == 0

    @property
    def report(self) -> str:
        stopped = f"stopped by its limit, {self.result.stopped}\n" if self.result.stopped else ""
        return stopped + self.result.output[-_REPORT_CHARS:]


async def run_tests(
    tree: Path, *, wanted: str, limits: Limits | None = None, arguments: Sequence[str] = ()
) -> Outcome:
    """Return how the tests in ``tree`` went. ``arguments`` are further ones for pytest.

    Raises:
        WrongSetting: the sandbox that is asked for does not work here.
    """
    variant = await best_level(wanted)
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"]
    command += arguments
    env = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # only what the project itself names
        "PYTHONPATH": str(_PRODUCT),  # an executor that was deployed brings its own
    }
    result = await run(command, tree, variant=variant, limits=limits, env=env)
    return read(result)


def read(result: Result) -> Outcome:
    """Read the counts from pytest's last line."""
    lines = [line for line in result.output.splitlines() if _COUNTS.search(line)]
    counts = {"passed": 0, "failed": 0}
    for number, word in _COUNTS.findall(lines[-1]) if lines else ():
        counts["passed" if word == "passed" else "failed"] += int(number)
    return Outcome(counts["passed"], counts["failed"], result)
