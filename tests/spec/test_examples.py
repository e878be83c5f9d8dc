"""The worked examples: each intent leads to an accepted SPEC, and its service passes its tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from domain.intake import settle
from domain.intent import Intent, RawIntent, Submission
from domain.spec.draft import draft
from domain.spec.model import Spec
from domain.spec.optimize import optimize
from domain.spec.score import score
from infra.generator.generate import generate, problems
from infra.spec_cel import judge
from tests.support.context import T0

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))


def example(path: Path) -> Intent:
    raw = RawIntent(at=T0, subject_name="submit", body=path.read_bytes())
    return settle(Submission.model_validate_json(path.read_bytes()), raw=raw, position=1)


def accepted(path: Path) -> Spec:
    made = draft(example(path), judge=judge)
    better = optimize(made.spec, 90, judge=judge)
    assert not better.missing
    return better.spec


def test_there_are_examples_with_and_without_a_structured_spec() -> None:
    structured = {path.stem: "spec" in json.loads(path.read_bytes()) for path in EXAMPLES}
    assert sum(structured.values()) >= 3
    assert structured["revenue-analytics"]
    assert not structured["expense-desk"]


def test_the_examples_score_differently_and_without_errors() -> None:
    scores = {path.stem: score(draft(example(path), judge=judge).spec) for path in EXAMPLES}
    totals = [scored.total for scored in scores.values()]
    assert len(set(totals)) == len(totals), totals
    found = [f for scored in scores.values() for f in scored.findings if f.severity == "error"]
    assert not found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_service_of_an_example_passes_its_own_tests(path: Path, tmp_path: Path) -> None:
    spec = accepted(path)
    assert problems(spec) == ()
    project = generate(spec, version=spec.version)
    for name, data in project.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    search = os.pathsep.join((str(ROOT), str(tmp_path), str(tmp_path / "src")))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": search, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert " passed" in run.stdout
