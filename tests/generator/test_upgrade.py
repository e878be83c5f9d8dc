"""A newer version reads what an older one wrote; what it could not read is refused beforehand."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.spec.model import read_spec
from infra.generator.upgrade import unsafe_changes
from tests.generator.projects import written
from tests.generator.specs import TICKETS

ROOT = Path(__file__).parents[2]
Document = dict[str, Any]
Change = Callable[[Document], object]

CALLS = """
import json, sys
from pathlib import Path
from litestar.testing import TestClient
from ticket_desk.app import build
from ticket_desk.service import start

log, tables, calls = sys.argv[1], Path(sys.argv[2]), json.loads(sys.stdin.read())
env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": log}
service = start(tables, env)
answers, ids = [], {}
with TestClient(build(service), raise_server_exceptions=False) as client:
    service.views.catch_up(timeout_s=10)
    for method, path, body in calls:
        body = {k: ids.get(v, v) if isinstance(v, str) else v for k, v in (body or {}).items()}
        for name, found in ids.items():
            path = path.replace(name, found)
        answer = client.request(method, path, json=body if method != "GET" else None)
        found = answer.json() if answer.content else None
        if answer.status_code == 201:
            ids[f"${len(ids) + 1}"] = found["id"]
        answers.append([answer.status_code, found])
print(json.dumps(answers))
"""


def play(project: Path, log: Path, calls: list[Any]) -> list[Any]:
    """Run calls against a version of the service in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", CALLS, str(log), str(project / "tables")],
        input=json.dumps(calls),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return list(json.loads(found.stdout.splitlines()[-1]))  # warnings are printed before


def newer() -> Document:
    document = copy.deepcopy(TICKETS)
    ticket = document["records"][1]
    ticket["fields"] += [
        {"name": "channel", "type": "enum", "values": ["mail", "phone"], "default": "mail"},
        {"name": "hours", "type": "decimal"},
    ]
    ticket["states"]["transitions"].append(
        {"command": "escalate", "from": ["assigned"], "to": "escalated", "fields": ["hours"]}
    )
    document["records"].append(
        {"name": "tag", "fields": [{"name": "label", "type": "text", "unique": True}]}
    )
    return document


def test_data_lives_on_through_an_upgrade_and_back(tmp_path: Path) -> None:
    old, new, log = tmp_path / "old", tmp_path / "new", tmp_path / "log"
    written(read_spec(TICKETS), old)
    written(read_spec(newer()), new, version="1.1.0")
    ada = {"name": "Ada", "email": "ada@example.org"}
    made = play(
        old,
        log,
        [
            ["POST", "/customers", ada],
            ["POST", "/tickets", {"title": "T", "customer": "$1", "due": "2030-01-02"}],
            ["POST", "/tickets/$2/assign", {"agent": "agent-1"}],
        ],
    )
    assert [status for status, _ in made] == [201, 201, 200]
    path = f"/tickets/{made[1][1]['id']}"
    assert unsafe_changes(read_spec(TICKETS), read_spec(newer())) == ()
    changed = play(
        new,
        log,
        [
            ["GET", path, None],
            ["GET", "/tickets?channel=mail", None],
            ["POST", "/customers", ada],
            ["PATCH", path, {"channel": "phone", "hours": "1.5"}],
            ["POST", "/tags", {"label": "x"}],
            ["GET", f"{path}/history", None],
        ],
    )
    assert [status for status, _ in changed] == [200, 200, 409, 200, 201, 200]
    assert changed[0][1] == {
        **{name: value for name, value in made[2][1].items() if name != "position"},
        "channel": "mail",
        "hours": None,
    }
    assert changed[1][1]["total"] == 1
    back = play(old, log, [["GET", path, None], ["PATCH", path, {"urgency": 1}]])
    assert [status for status, _ in back] == [200, 200], "a rollback ignores the newer fields"
    assert "channel" not in back[1][1]
    again = play(new, log, [["GET", path, None], ["POST", f"{path}/escalate", {"hours": "2"}]])
    assert (again[0][1]["urgency"], again[0][1]["channel"]) == (1, "phone")
    assert again[1][1]["state"] == "escalated"
    unknown = play(old, log, [["PATCH", path, {"urgency": 2}], ["GET", f"{path}/history", None]])
    assert [status for status, _ in unknown] == [409, 409]
    assert "newer version" in unknown[0][1]["detail"]


def ticket_of(document: Document) -> Any:
    return document["records"][1]


def field(document: Document, name: str) -> Any:
    return next(f for f in ticket_of(document)["fields"] if f["name"] == name)


UNSAFE: dict[str, tuple[Change, str]] = {
    "a record is gone": (lambda d: d["records"].pop(2), "comment"),
    "a field is gone": (lambda d: ticket_of(d)["fields"].remove(field(d, "data")), "ticket.data"),
    "a type changes": (lambda d: field(d, "timestamp").update(type="date"), "was datetime"),
    "an optional field becomes required": (
        lambda d: field(d, "due").update(required=True),
        "may have no due",
    ),
    "a field becomes unique": (lambda d: field(d, "title").update(unique=True), "share values"),
    "a required field is added": (
        lambda d: ticket_of(d)["fields"].append({"name": "x", "type": "text", "required": True}),
        "have no x",
    ),
    "a command is gone": (lambda d: ticket_of(d)["states"]["transitions"].pop(2), "reopen"),
    "the states are gone": (
        lambda d: d.update(rules=[], reports=[], scenarios=[]) or ticket_of(d).update(states=None),
        "stored records are in one of them",
    ),
    "a state is renamed": (
        lambda d: ticket_of(d)["states"]["transitions"][3].update(to="dropped"),
        "'cancelled' is gone",
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_change_is_named(name: str) -> None:
    change, why = UNSAFE[name]
    document = copy.deepcopy(TICKETS)
    change(document)
    found = unsafe_changes(read_spec(TICKETS), read_spec(document))
    assert len(found) == 1
    assert why in str(found[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda d: field(d, "title").update(max_length=10),
        lambda d: field(d, "urgency").update(max=9),
        lambda d: field(d, "title").update(required=False),
        lambda d: d.update(rules=[]),
        lambda d: d.update(reports=[]),
        lambda d: ticket_of(d).update(plural="tasks") or d.update(scenarios=[]),
    ],
)
def test_a_safe_change_passes(change: Change) -> None:
    document = copy.deepcopy(TICKETS)
    change(document)
    assert unsafe_changes(read_spec(TICKETS), read_spec(document)) == ()
