"""``phoenix intent``: submit, list, show, watch, cancel, retry."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from phoenix.cli.client import Client
from phoenix.cli.files import read_json
from phoenix.cli.output import AsJson, out, pairs, show, table, text

app = typer.Typer(help="Publish intents and follow them.", no_args_is_help=True)

SERVICE = "intent-queue"
_ENDS = {"IntentCompleted": 0, "IntentFailed": 1, "IntentCancelled": 1, "IntentRefused": 1}
_COLUMNS = {
    "intent_id": "intent",
    "service_name": "service",
    "status": "status",
    "priority": "priority",
    "tier": "tier",
    "queue_position": "queue",
    "alignment_score": "score",
}
IntentId = Annotated[str, typer.Argument(help="The intent's id.")]


@app.command()
def submit(
    file: Annotated[Path | None, typer.Argument(help="A JSON file with the intent.")] = None,
    name: Annotated[str | None, typer.Option(help="service_name, when there is no file.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What the service is for.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="A key feature; repeatable.")] = None,
    tier: Annotated[int | None, typer.Option(min=0, max=3)] = None,
    service_type: Annotated[str | None, typer.Option(help="Default: domain.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit an intent from FILE, or from --name and --purpose."""
    body = _body(file, name, purpose)
    body.setdefault("source", "cli")
    if feature:
        body["key_features"] = feature
    if tier is not None:
        body["target_tier"] = tier
    if service_type is not None:
        body["service_type"] = service_type
    client = Client()
    answer = client.post(SERVICE, "/intents/submit", body)
    if wait and not as_json:
        out.print(f"queued as {answer['intent_id']}")
        raise typer.Exit(follow(client, answer["intent_id"], as_json=False))
    if wait:
        code = follow(client, answer["intent_id"], as_json=True)
        raise typer.Exit(code)
    show(answer, as_json=as_json, human=lambda: pairs(answer))


@app.command(name="list")
def list_(
    status: Annotated[str | None, typer.Option()] = None,
    q: Annotated[str | None, typer.Option(help="Text to look for.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List intents, newest first."""
    answer = Client().get(SERVICE, "/intents", status=status, q=q, limit=limit)
    show(
        answer,
        as_json=as_json,
        human=lambda: table(answer["items"], _COLUMNS, empty="No intents yet."),
    )


@app.command(name="show")
def show_(intent_id: IntentId, as_json: AsJson = False) -> None:
    """Show one intent and its life so far."""
    client = Client()
    intent = client.get(SERVICE, f"/intents/{intent_id}")

    def human() -> None:
        pairs({key: value for key, value in intent.items() if key not in ("lifecycle", "spec")})
        out.print()
        table(
            intent.get("lifecycle", []),
            {
                "phase": "phase",
                "duration_seconds": "seconds",
                "position": "position",
                "timestamp": "since",
            },
            empty="",
        )

    show(intent, as_json=as_json, human=human)


@app.command()
def watch(intent_id: IntentId, as_json: AsJson = False) -> None:
    """Print each step of an intent as it happens; ends with it (exit code 1 unless completed)."""
    raise typer.Exit(follow(Client(), intent_id, as_json=as_json))


@app.command()
def cancel(
    intent_id: IntentId,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel an open intent."""
    answer = Client().call("DELETE", SERVICE, f"/intents/{intent_id}", params={"reason": reason})
    show(answer, as_json=as_json, human=lambda: pairs(answer))


@app.command()
def retry(intent_id: IntentId, as_json: AsJson = False) -> None:
    """Open a failed, cancelled or expired intent again."""
    answer = Client().post(SERVICE, f"/intents/{intent_id}/retry")
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def follow(client: Client, intent_id: str, *, as_json: bool) -> int:
    """Print the intent's events from its first until it ends; return the exit code."""
    after = 0
    while True:
        path = f"/intents/{intent_id}/subscribe" + (f"?last_event_id={after}" if after else "")
        with client.stream(SERVICE, path) as lines:
            for line in lines:
                if not line.startswith("data:"):
                    continue
                event = json.loads(line.removeprefix("data:"))
                after = max(after, int(event["position"]))
                _print_event(event, as_json=as_json)
                name = _name(event)
                if name in _ENDS:
                    return _ENDS[name]
        # The stream ends with the instance that served it: go on with another, after the last.


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(event), indent=None)
        return
    name, data = _name(event), event["data"]
    clock = str(event["time"])[11:19]
    out.print(f"{event['position']:>8}  {clock}  {name:<20} {text(_detail(name, data))}")
    if name == "ApprovalRequested":
        out.print(f"{'':>20}waits for a person: phoenix approve {data['approval_id']}")


def _detail(name: str, data: dict[str, Any]) -> str:
    match name:
        case "IntentQueued":
            intent = data["intent"]
            return f"{intent['service_name']} tier {intent['target_tier']} {intent['priority']}"
        case "AlignmentAssessed":
            found = data["assessment"]
            return f"score {found['alignment_score']:.2f}, {found['risk_level']} risk"
        case "DecisionMade":
            return f"{data['decision']} ({data['policy_applied'] or 'no policy held'})"
        case "SpecVerified" | "SpecOptimized":
            return f"score {data['score']['total']:g} {data['score']['grade']}"
        case "SpecNeedsDetail":
            return " / ".join(data["questions"])
        case "CodeGenerated":
            return f"{data['files']} files, {data['lines']} lines in {data['duration_s']:.2f} s"
        case "TestsPassed" | "TestsFailed":
            return f"{data['passed']} passed ({data['sandbox']}) in {data['duration_s']:.1f} s"
        case "ArtifactPackaged":
            return f"{data['wheel']} sha256 {data['artifact_digest'][:12]}"
        case "DeploymentStarted":
            return f"version {data['version']} on port {data['port']}"
        case _:
            known = ("url", "reason", "version", "approver")
            told = data.get("outcome")  # names what the others say, too
            return told or ", ".join(str(data[field]) for field in known if data.get(field))


def _name(event: dict[str, Any]) -> str:
    return str(event["type"]).split(".")[2]


def _body(file: Path | None, name: str | None, purpose: str | None) -> dict[str, Any]:
    if file is None:
        if name is None or purpose is None:
            raise typer.BadParameter("give a FILE, or --name and --purpose")
        return {"service_name": name, "purpose": purpose}
    return read_json(file)
