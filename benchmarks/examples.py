"""Writes ``docs/examples.md``: ``python -m benchmarks.examples`` (two minutes).

Nothing in that page is written by hand: a system of its own scores every document under
``examples/``, builds every intent there and answers the calls of its first scenario; then hostile
code is run in each level of the sandbox that this host can give.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from domain.spec.render import cell, compact
from infra.sandbox import Limits, best_level, run
from infra.sandbox.run import Variant
from infra.settings import WrongSetting
from tests.components.site import Site
from tests.integration.system import System, running

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "examples.md"
INTENTS = sorted((ROOT / "examples").glob("*.json"))
FILES = sorted((ROOT / "examples" / "specs").glob("*.md"))
FINDINGS_SHOWN = 4
ANSWER_CHARS = 160
OUTCOME_CHARS = 80
LEVELS = ("bubblewrap", "landlock", "process")
QUICK = Limits(wall_s=8.0, cpu_s=4)

HEAD = """# Examples, as they ran

Written by `python -m benchmarks.examples`, which anybody can run: scores of documents, transcripts
of the worked examples, hostile code in the sandbox. The load average when it ended: {load:.1f}.
"""
HOSTILE = f"""## Hostile code in the sandbox

What came of it at each level that this host gives: the limit that ended it, the error in which it
ended, or what it got hold of ("nothing" is what it should be). `process` is the last resort and
keeps neither files nor the network away ([levels](build.md#sandbox)). Bounds: {QUICK.wall_s:g} s,
{QUICK.cpu_s} s of processor time, else as for builds.
"""


@dataclass(frozen=True)
class Attack:
    """It prints "nothing" where it got nowhere. ``@PORT@``, ``@KEY@`` and ``@PID@`` are those of
    the running system."""

    name: str
    code: str
    tried_at: Sequence[str] = LEVELS


ATTACKS = (
    Attack("endless loop", "while True: pass"),
    Attack(
        "fork bomb",
        "import os\ntry:\n    while True: os.fork()\nexcept OSError: print('no more processes')",
        LEVELS[:2],  # as root, the last level has only a watch against it
    ),
    Attack(
        "fills memory",
        "kept = []\nwhile True: kept.append(bytearray(64 * 2**20))",
    ),
    Attack(
        "fills the disk",
        "n = 0\nwhile True:\n    open(f'f{n}', 'wb').write(bytes(32 * 2**20)); n += 1",
    ),
    Attack("one huge file", "f = open('f', 'wb')\nwhile True: f.write(bytes(2**20))"),
    Attack("endless output", "while True: print('x' * 4096)"),
    Attack(
        "opens a connection outwards",
        "import socket\n"
        "try:\n    socket.create_connection(('1.1.1.1', 53), 2); print('connected')\n"
        "except OSError: print('nothing')",
    ),
    Attack(
        "talks to this host's services",
        "import socket\n"
        "try:\n    socket.create_connection(('127.0.0.1', @PORT@), 2); print('connected')\n"
        "except OSError: print('nothing')",
    ),
    Attack(
        "reads the signing key",
        "try: print(len(open('@KEY@', 'rb').read()), 'bytes of it')\n"
        "except OSError: print('nothing')",
    ),
    Attack(
        "reads /etc/shadow",
        "try: print(len(open('/etc/shadow').read()), 'characters of it')\n"
        "except OSError: print('nothing')",
    ),
    Attack(
        "looks for an API key",
        "import os\nprint([n for n in os.environ if 'KEY' in n] or 'nothing')",
    ),
    Attack(
        "kills another process",
        "import os\ntry: os.kill(@PID@, 0); print('reached it')\nexcept OSError: print('nothing')",
    ),
    Attack(
        "becomes root",
        "import os\n"
        "try: os.setuid(0); print(len(open('/proc/1/environ').read()), 'characters of init')\n"
        "except OSError: print('nothing')",
    ),
)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="phoenix-bench-") as folder,
        running(Path(folder)) as system,
    ):
        tokens = [system.json("user", "add", name)["token"] for name in ("ann", "bob")]
        here = Site(system, ROOT, tokens)
        parts = [*_scores(system), *(_transcript(here, path) for path in INTENTS)]
        parts.append(asyncio.run(_hostile(system)))
    head = HEAD.format(load=os.getloadavg()[0])
    PAGE.write_text("\n".join([head, *parts]))
    sys.stdout.write(f"wrote {PAGE}\n")


def _scores(system: System) -> Iterator[str]:
    scored = {p: system.json("spec", "score", str(p)) for p in (*INTENTS, *FILES)}
    rows = [
        (
            f"`{path.relative_to(ROOT)}`",
            f"{s['total']:g}",
            s["grade"],
            *(f"{s[part]:g}" for part in ("completeness", "clarity", "udc", "readiness")),
            str(len(s["findings"])),
        )
        for path, s in scored.items()
    ]
    yield "## Scores\n"
    yield "`phoenix spec score FILE`, as they stand ([what is checked](spec.md#score)).\n"
    columns = ("document", "score", "grade", "completeness", "clarity", "UDC", "readiness")
    yield _table((*columns, "findings"), rows)
    yield f"The findings that cost most (at most {FINDINGS_SHOWN} a document):\n"
    yield _table(
        ("document", "rule", "finding", "fix", "points"),
        [
            (path.stem, f["rule"], cell(f["message"]), cell(f["fix"]), f"{f['points']:g}")
            for path, s in scored.items()
            for f in s["findings"][:FINDINGS_SHOWN]
        ],
    )


def _transcript(here: Site, path: Path) -> str:
    system = here.system
    file = path.relative_to(ROOT)
    shown = [f"## {path.stem}\n", "```", f"$ phoenix intent submit {file}"]
    said = system.phoenix("intent", "submit", str(path)).splitlines()
    shown += [line.rstrip() for line in said]
    name = json.loads(path.read_text())["service_name"]
    listed = system.get("intent-queue", "/intents", q=name)["items"]
    intent_id = str(listed[0]["intent_id"])
    intent = system.wait_for(intent_id, "awaiting_approval", "completed")
    if intent["status"] == "awaiting_approval":
        here.approve(intent_id)
        factors = ", ".join(intent["risk_factors"])
        shown.append(f"{intent['risk_level']} risk ({factors}): a person approves it")
    intent = system.wait_for(intent_id, "completed")
    shown.append(f"completed: {intent['deployment_url']}")
    build = system.get("build-executor", f"/builds/{intent['build_id']}")
    document = system.get("sovereign-factory", f"/specs/{intent['intent_id']}")["spec"]
    scenario = document["scenarios"][0]
    shown += ["```\n"]
    shown.append(
        f"{intent['governance_decision']} at {intent['alignment_score']:g} "
        f"({intent['policy_matched'] or 'no policy approves it'}); SPEC {intent['spec_score']:g}; "
        f"{build['tests_passed']} tests passed in the sandbox ({build['sandbox']}). "
        f"{_seconds(intent)}.\n"
    )
    shown += [f"Its scenario {scenario['name']!r}, asked of the running service:\n", "```"]
    shown += _called(intent["deployment_url"], scenario["steps"])
    return "\n".join([*shown, "```\n"])


def _seconds(intent: Mapping[str, Any]) -> str:
    spent = [
        f"{phase['phase']} {phase['duration_seconds']:.2f} s"
        for phase in intent["lifecycle"]
        if phase["duration_seconds"]
    ]
    return ", ".join(spent).capitalize()


def _called(url: str, steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    created = ""
    with httpx.Client(base_url=url, timeout=15, trust_env=False) as client:
        for step in steps:
            method, _, path = step["call"].partition(" ")
            body = json.loads(json.dumps(step.get("body")).replace("$id", created))
            answer = client.request(method, path.replace("$id", created), json=body)
            found = answer.json() if answer.content else None
            if answer.status_code == 201:
                created = str(found["id"])
            yield f"> {step['call']} {'' if body is None else compact(body)}".rstrip()
            yield f"{answer.status_code} {'' if found is None else _short(compact(found))}".rstrip()


def _short(text: str) -> str:
    return text if len(text) <= ANSWER_CHARS else f"{text[:ANSWER_CHARS]}..."


async def _hostile(system: System) -> str:
    assert system.process is not None
    names = {
        "@PORT@": str(int(system.url("governance").rpartition(":")[2])),
        "@KEY@": str(system.data_dir.absolute() / "keys" / "build.ed25519"),
        "@PID@": str(system.process.pid),
    }
    levels = []
    for level in LEVELS:
        try:
            levels.append(await best_level(level))
        except WrongSetting:
            continue
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()  # unlike its parent, everybody may read it: the sandbox has a user of its own
        for attack in ATTACKS:
            code = attack.code
            for name, value in names.items():
                code = code.replace(name, value)
            found = [await _outcome(attack, code, tree, variant) for variant in levels]
            rows.append((attack.name, *found))
    return f"{HOSTILE}\n{_table(('attack', *(variant.level for variant in levels)), rows)}"


async def _outcome(attack: Attack, code: str, folder: Path, variant: Variant) -> str:
    if variant.level not in attack.tried_at:
        return "not tried"
    command = [sys.executable, "-c", code]
    result = await run(command, folder, variant=variant, limits=QUICK)
    last = (result.output.strip().splitlines() or [f"status {result.exit_code}"])[-1]
    ended = f"ended: {last}" if result.exit_code else last
    return cell((result.stopped or ended)[:OUTCOME_CHARS])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


if __name__ == "__main__":
    main()
