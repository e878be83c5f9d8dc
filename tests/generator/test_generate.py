"""A generated tree is complete, deterministic, clean, and passes its own tests."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from domain.spec.model import Spec, read_spec
from infra.generator import generate, problems, tree_digest
from infra.generator.names import Namer, package_name, past
from tests.generator.projects import written
from tests.generator.specs import ALL, REVENUE, TICKETS, inventory, revenue, tickets

ROOT = Path(__file__).parents[2]
NASTY = '\\ """ \' {{ x }} {% y %} \x7f \u202e \n# noqa\r\nimport os'


def run(*command: str, cwd: Path, **env: str) -> str:
    """Run a command in a project; return what it printed."""
    found = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-4000:]
    return found.stdout


@pytest.mark.parametrize("name", ALL)
def test_the_same_spec_gives_the_same_bytes(name: str) -> None:
    first, second = (generate(ALL[name](), version="1.0.0") for _ in range(2))
    assert first.files == second.files
    assert first.digest == second.digest == tree_digest(second.files)
    assert list(first.files) == sorted(first.files)


def test_the_digest_changes_with_any_file_and_any_path() -> None:
    files = {"a": b"1", "b": b"2"}
    others = [{"a": b"1"}, {"a": b"1", "b": b"3"}, {"a": b"1", "c": b"2"}, {"b": b"1", "a": b"2"}]
    assert len({tree_digest(f) for f in (files, *others)}) == 5


@pytest.mark.parametrize("name", ALL)
def test_the_tree_has_all_that_a_project_needs(name: str) -> None:
    project = generate(ALL[name](), version="2.3.4")
    for path in ("pyproject.toml", "README.md", "SPEC.md", "spec.json", "Containerfile"):
        assert project.files[path].strip()
    pyproject = tomllib.loads(project.files["pyproject.toml"].decode())
    assert pyproject["project"]["version"] == "2.3.4"
    entry = pyproject["project"]["entry-points"]["phoenix.services"]
    assert entry == {project.service_name: f"{project.package}.service:create"}
    assert project.lines > 500


@pytest.mark.parametrize("name", ALL)
def test_its_own_tests_pass(name: str, tmp_path: Path) -> None:
    written(ALL[name](), tmp_path)
    assert " passed" in run("pytest", "-q", cwd=tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_it_is_linted_formatted_and_typed(name: str, tmp_path: Path) -> None:
    written(ALL[name](), tmp_path)
    run("ruff", "check", "--no-cache", ".", cwd=tmp_path)
    run("ruff", "format", "--no-cache", "--check", ".", cwd=tmp_path)
    cache = str(ROOT / ".mypy_cache" / "generated")
    assert "Success" in run("mypy", "--cache-dir", cache, cwd=tmp_path)


def nasty(document: dict[str, Any]) -> Spec:
    """The document with text in every free place that tries to become code."""
    changed = {**document, "purpose": f"A purpose {NASTY}", "title": NASTY, "key_features": [NASTY]}
    changed["records"] = [{**record, "description": NASTY} for record in document["records"]]
    changed["rules"] = [
        {**rule, "message": f"refused {NASTY}", "check": f"{rule['check']} && '{{{{' != '#\\n'"}
        for rule in document["rules"]
    ]
    changed["reports"] = [{**report, "description": NASTY} for report in document["reports"]]
    changed["scenarios"] = [{**s, "name": f"{s['name']} {NASTY}"} for s in document["scenarios"]]
    return read_spec(changed)


@pytest.mark.parametrize("document", [REVENUE, TICKETS], ids=["revenue", "tickets"])
def test_free_text_never_becomes_code(document: dict[str, Any], tmp_path: Path) -> None:
    project = written(nasty(document), tmp_path)
    for path, data in project.files.items():
        if path.endswith(".py"):
            tree = ast.parse(data.decode(), path)
            imported = [
                a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
            ]
            assert set(imported) <= {"hypothesis", "pytest", "re"}, path
    tomllib.loads(project.files["pyproject.toml"].decode())
    assert " passed" in run("pytest", "-q", cwd=tmp_path)


def test_a_rule_without_translation_is_a_problem_with_its_place() -> None:
    rules = [{**REVENUE["rules"][0], "check": "record.customer.split(' ').size() > 1"}]
    reports = [{**REVENUE["reports"][2], "where": "record.amount"}]
    found = problems(read_spec({**REVENUE, "rules": rules, "reports": reports}))
    assert [problem.path for problem in found] == ["rules[0].check", "reports[0].where"]


@pytest.mark.parametrize("spec", [revenue, tickets, inventory])
def test_a_spec_that_can_be_generated_has_no_problems(spec: Any) -> None:
    assert problems(spec()) == ()


@pytest.mark.parametrize(
    ("command", "event"),
    [
        ("approve", "approved"),
        ("mark_paid", "marked_paid"),
        ("ship", "shipped"),
        ("cancel", "cancelled"),
        ("deny", "denied"),
        ("pay", "paid"),
        ("resend", "resent"),
        ("open", "opened"),
        ("delay", "delayed"),
    ],
)
def test_an_event_is_named_in_the_past(command: str, event: str) -> None:
    assert past(command) == event


def test_a_package_never_hides_another_one() -> None:
    assert package_name("revenue-analytics") == "revenue_analytics"
    assert package_name("calendar") == "calendar_service"
    assert package_name("domain") == "domain_service"
    assert package_name("class") == "class_service"


def test_a_name_is_given_once() -> None:
    namer = Namer(("get",))
    assert [namer.take(n) for n in ("get", "get", "pay", "pay", "pay")] == [
        "get_",
        "get_2",
        "pay",
        "pay_",
        "pay_2",
    ]
