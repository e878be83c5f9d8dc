"""Every command that users and programs rely on exists, explains itself and speaks JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from infra.settings import load
from phoenix.cli import app, run
from phoenix.cli.launcher import app as launcher

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "infra" / "assets" / "policies" / "shipped.json"
COMMANDS = """
    up, down, status, doctor
    intent submit, intent list, intent show, intent watch, intent cancel, intent retry
    approvals, approve, reject, mode
    override, delegation list, delegation add, delegation end
    policy list, policy show, policy adopt, policy retire, policy test, policy simulate
    spec score, spec show, spec render, spec optimize
    build show, build log, build rollback
    switchover, ssot, bootstrap, udc check, demo, backup, restore, nats-context
    audit show, audit replay, audit verify, audit prove, audit export, audit import, audit seal
    user add, user list, user revoke
"""
NAMES = [" ".join(name.split()) for name in COMMANDS.replace("\n", ",").split(",") if name.strip()]
OPTIONS = {
    "up": "--services --instances --port-shift --no-tty",
    "status": "--watch --uptime",
    "intent submit": "--name --purpose --wait",
    "reject": "--reason",
    "delegation add": "--until --reason",
    "ssot": "--at --md",
    "audit show": "--intent --service --actor --type --since --until",
    "audit replay": "--to",
}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words."""
    inner: dict[str, Any] = getattr(command, "commands", {})
    for name, one in inner.items():
        yield from leaves(one, (*path, name))
    if not inner:
        yield " ".join(path), command


FOUND = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("name", NAMES)
def test_a_command_explains_itself_and_speaks_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {option for parameter in FOUND[name].params for option in parameter.opts}
    assert {"--json", *OPTIONS.get(name, "").split()} <= options
    assert run([*name.split(), "--help"]) == 0
    assert "Usage: phoenix" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(FOUND))
def test_every_command_speaks_json(name: str) -> None:
    assert "--json" in {option for parameter in FOUND[name].params for option in parameter.opts}


def test_the_launcher_takes_what_the_contract_says() -> None:
    options = {o for p in typer.main.get_command(launcher).params for o in p.opts}
    assert {"--service", "--port", "--instances", "--capacity", "--json"} <= options


@pytest.mark.parametrize("name", ["status", "down", "intent list", "audit show", "switchover x"])
def test_a_system_that_does_not_run_is_not_reachable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOENIX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PHOENIX_PORT_SHIFT", "39000")
    assert load().data_dir == tmp_path
    assert run([*name.split(), "--json"]) == 3
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith("phoenix: ")


@pytest.mark.parametrize(
    "wrong",
    [
        "nonsense",
        "status --nonsense",
        "approve",
        "policy adopt /none.json",
        "spec score /none.md",
        "delegation add eve --until tomorrow --reason away",
    ],
)
def test_wrong_usage_says_so(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(wrong.split()) == 2
    assert "Usage: phoenix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[1, 2]", "holds no JSON object"),
        (b"7", "holds no JSON object"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe{}", "is not UTF-8 text"),
    ],
    ids=["list", "number", "cut", "deep", "binary"],
)
@pytest.mark.parametrize(
    "command",
    [
        "intent submit",
        "policy adopt",
        "policy test",
        "policy simulate",
        "spec score",
        "spec detail x",
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_its_name(
    command: str, content: bytes, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    assert run([*command.split(), str(file)]) == 1
    assert f"{file} {why}" in capsys.readouterr().err


def test_the_tests_of_a_bundle_are_run_without_a_system(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "test", str(SHIPPED), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert len(answer["tests"]) > 10
    content = json.loads(SHIPPED.read_text())
    content["policies"][0]["outcome"] = "auto_approve"  # of what is misaligned
    softer = tmp_path / "softer.json"
    softer.write_text(json.dumps(content))
    assert run(["policy", "test", str(softer), "--json"]) == 1
    said = capsys.readouterr()
    assert "do not come out" in said.err
    wrong = [t["name"] for t in json.loads(said.out)["tests"] if t["found"] != t["wanted"]]
    assert wrong == ["misaligned is blocked", "misaligned is blocked even by the bold"]


def test_a_command_starts_without_what_only_services_need() -> None:
    said = (
        "import sys, phoenix.cli; print({'litestar', 'uvicorn', 'rich.markdown'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
