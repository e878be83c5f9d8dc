"""``phoenix spec | build | ssot | udc``: from SPEC to the running system."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from infra.settings import BASE_PORTS
from phoenix.cli.client import Client, NotReachable
from phoenix.cli.files import read_json, read_text
from phoenix.cli.output import AsJson, out, pairs, raw, show, table, text

spec = typer.Typer(help="Score, show and improve SPECs.", no_args_is_help=True)
build = typer.Typer(help="Look into builds, and roll back.", no_args_is_help=True)
udc = typer.Typer(help="Check a service's UDC endpoints.", no_args_is_help=True)

FACTORY = "sovereign-factory"
EXECUTOR = "build-executor"
REGISTRY = "registry"
_FINDINGS = {
    "severity": "severity",
    "place": "place",
    "message": "finding",
    "fix": "fix",
    "points": "points",
}
_STEPS = {
    "position": "position",
    "at": "at",
    "event": "event",
    "summary": "what came out",
    "duration_s": "seconds",
}
_UDC_FIELDS: dict[str, tuple[str, ...]] = {
    "/health": ("status", "service", "version", "timestamp"),
    "/capabilities": ("version", "features", "dependencies", "udc_version", "metadata"),
    "/state": (
        "uptime_seconds",
        "requests_total",
        "errors_last_hour",
        "last_restart",
        "requests_per_minute",
        "cpu_percent",
        "memory_mb",
    ),
    "/dependencies": ("required", "optional", "missing"),
}


def _document(file: Path) -> dict[str, Any]:
    """A SPEC as the factory takes it; of an intent's JSON it scores what it would make of that."""
    if file.suffix == ".json":
        return {"spec": read_json(file)}
    return {"markdown": read_text(file)}


def _print_score(answer: dict[str, Any]) -> None:
    score = answer.get("score", answer)
    pairs(
        {
            k: score[k]
            for k in ("total", "grade", "completeness", "clarity", "udc", "readiness")
            if k in score
        }
    )
    out.print()
    table(score.get("findings", []), _FINDINGS, empty="No findings.")


@spec.command()
def score(file: Path, as_json: AsJson = False) -> None:
    """Score the SPEC in FILE (.md or .json)."""
    answer = Client().post(FACTORY, "/specs/verify", _document(file))
    show(answer, as_json=as_json, human=lambda: _print_score(answer))


@spec.command()
def optimize(file: Path, as_json: AsJson = False) -> None:
    """Improve the SPEC in FILE; prints what would change and the score, changes nothing."""
    answer = Client().post(FACTORY, "/specs/optimize", _document(file))

    def human() -> None:
        if answer["diff"]:
            raw(answer["diff"])
        for change in answer["changes"]:
            out.print(text(change))
        out.print()
        _print_score(answer)

    show(answer, as_json=as_json, human=human)


@spec.command()
def detail(
    intent_id: str,
    file: Annotated[Path | None, typer.Argument(help="A JSON file with a ``spec`` object.")] = None,
    without_custom: Annotated[
        bool, typer.Option("--without-custom", help="Give up the code a model was to write.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer the questions of a SPEC that needs detail; what the intent said is kept."""
    body = read_json(file) if file is not None else {}
    given = {"spec": body.get("spec", body), "without_custom": without_custom}
    answer = Client().post(FACTORY, f"/specs/{intent_id}/detail", given)
    show(answer, as_json=as_json, human=lambda: pairs(answer))


@spec.command(name="show")
def show_spec(intent_id: str, as_json: AsJson = False) -> None:
    """Show the SPEC of an intent with its score."""
    answer = Client().get(FACTORY, f"/specs/{intent_id}")
    show(answer, as_json=as_json, human=lambda: _print_score(answer))


@spec.command()
def render(intent_id: str, as_json: AsJson = False) -> None:
    """Print the SPEC.md of an intent."""
    markdown = Client().text(FACTORY, f"/specs/{intent_id}/SPEC.md")
    answer = {"intent_id": intent_id, "markdown": markdown}
    show(answer, as_json=as_json, human=lambda: raw(markdown))


@build.command(name="show")
def show_build(build_id: str, as_json: AsJson = False) -> None:
    """Show one build."""
    answer = Client().get(EXECUTOR, f"/builds/{build_id}")

    def human() -> None:
        pairs({name: value for name, value in answer.items() if name != "steps"})
        out.print()
        table(answer["steps"], _STEPS, empty="")

    show(answer, as_json=as_json, human=human)


@build.command()
def log(build_id: str, as_json: AsJson = False) -> None:
    """Print the output of a build."""
    output = Client().text(EXECUTOR, f"/builds/{build_id}/log", accept="text/plain")
    show({"build_id": build_id, "log": output}, as_json=as_json, human=lambda: raw(output))


@build.command()
def rollback(
    build_id: str,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Go back to the version before this build."""
    answer = Client().post(EXECUTOR, f"/builds/{build_id}/rollback", {"reason": reason})
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def ssot(
    at: Annotated[str, typer.Option(help="A log position or an ISO time; default now.")] = "",
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe the system as it is, or was: the single source of truth."""
    client = Client()
    if as_json:
        show(client.get(REGISTRY, "/ssot", at=at), as_json=True)
        return
    markdown = client.text(REGISTRY, "/ssot", at=at)
    if md:
        raw(markdown)
    else:
        from rich.markdown import Markdown  # else every command starts later for it

        out.print(Markdown(markdown))


@udc.command()
def check(
    target: Annotated[str, typer.Argument(metavar="NAME|URL")], as_json: AsJson = False
) -> None:
    """Ask all five UDC endpoints and say what is missing; exit 1 when anything is."""
    client = Client()
    base = _base_url(client, target)
    rows = [_probe(base, path, fields) for path, fields in _UDC_FIELDS.items()]
    rows.append(_probe_message(base))
    show(
        {"url": base, "checks": rows, "ok": all(row["ok"] for row in rows)},
        as_json=as_json,
        human=lambda: table(rows, {"endpoint": "endpoint", "ok": "ok", "note": "note"}, empty=""),
    )
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def _base_url(client: Client, target: str) -> str:
    if target.startswith(("http://", "https://")):
        return target.rstrip("/")
    if target in BASE_PORTS:
        return client.url(target, "")
    return str(client.get(REGISTRY, f"/services/{target}")["url"])


def _probe(base: str, path: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = httpx.get(f"{base}{path}", timeout=5, trust_env=False).json()
    except (httpx.ConnectError, httpx.TimeoutException):
        raise NotReachable(f"{base} does not answer") from None
    except ValueError:
        return {"endpoint": f"GET {path}", "ok": False, "note": "no JSON"}
    missing = [field for field in fields if field not in body]
    note = f"missing: {', '.join(missing)}" if missing else ""
    return {"endpoint": f"GET {path}", "ok": not missing, "note": note}


def _probe_message(base: str) -> dict[str, Any]:
    body = {
        "trace_id": "udc-check",
        "source": "phoenix-cli",
        "target": base,
        "message_type": "query",
        "payload": {},
        "timestamp": "2026-01-01T00:00:00Z",
    }
    answer = httpx.post(f"{base}/message", json=body, timeout=5, trust_env=False)
    ok = answer.status_code == 200 and answer.json().get("received") is True
    note = "" if ok else f"HTTP {answer.status_code}"
    return {"endpoint": "POST /message", "ok": ok, "note": note}
