"""``phoenix audit``: read the log, and prove that the views are what it says."""

import json
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.event import Event
from domain.recorded import Recorded
from infra.clock import SystemClock
from infra.event_json import as_json as event_json
from infra.ports import Context, EventLog, Service
from infra.replay import Digests, compare, digests, position_at, replay
from infra.settings import BASE_PORTS
from infra.views import SqliteViews
from phoenix.cli import audit_proof
from phoenix.cli.audit_filter import Filter, type_named
from phoenix.cli.client import Client, NotReachable
from phoenix.cli.log import Session, in_session
from phoenix.cli.output import AsJson, err, moment, out, show, table, text
from projections.governance import AUDITED
from projections.governance import summary as governed
from projections.intents import summary

app = typer.Typer(help="Read, replay, prove and move the log.", no_args_is_help=True)
audit_proof.register(app)

SAID_CHARS_MAX = 240
_SUBJECTS = ("intents.>", "events.>")


@app.command(name="show")
def show_(
    intent: Annotated[str, typer.Option(help="Only this intent.")] = "",
    service: Annotated[str, typer.Option(help="Only what it wrote or is about it.")] = "",
    actor: Annotated[str, typer.Option(help="Only this actor.")] = "",
    type_: Annotated[str, typer.Option("--type", help="Only this event, e.g. DecisionMade.")] = "",
    since: Annotated[str, typer.Option(help="From this ISO time on; UTC without a zone.")] = "",
    until: Annotated[str, typer.Option(help="Up to this ISO time; UTC without a zone.")] = "",
    after: Annotated[int, typer.Option(help="After this log position.", min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Print events of the log and what they say, oldest first (JSON: one event a line, whole)."""
    begin = moment(since, "--since") if since else None
    end = moment(until, "--until") if until else None
    if begin and end and end < begin:
        raise typer.BadParameter("lies before --since", param_hint="--until")
    wanted = Filter(intent, service, actor, type_named(type_), begin, end, after)

    async def read(session: Session) -> list[Recorded[Event]]:
        found = []
        # Which intents asked for a service may stand before what is to be shown.
        async with aclosing(_events(session.log, 0 if service else after)) as events:
            async for recorded in events:
                if wanted.keep(recorded):
                    found.append(recorded)
                if len(found) == limit:
                    break
        return found

    found = in_session(read)
    if not found and not as_json:
        err.print("No event of the log fits.")
    for recorded in found:
        item = event_json(recorded)
        if as_json:
            sys.stdout.write(json.dumps(item) + "\n")
        else:
            name = recorded.event.short_type
            line = (
                f"{recorded.position:>8}  {recorded.event.at:%Y-%m-%d %H:%M:%S}  {name:<20}"
                f" {text(recorded.actor):<18} {text(recorded.subject)}  {text(_says(recorded))}"
            )
            out.print(line.rstrip(), soft_wrap=True)


def _says(recorded: Recorded[Event]) -> str:
    """What an event says, in a line; "" when its type says it all."""
    event = recorded.event
    said = governed(event) if isinstance(event, AUDITED) else summary(event)
    flat = " ".join(said.split())
    return flat if len(flat) <= SAID_CHARS_MAX else flat[: SAID_CHARS_MAX - 1] + "…"


@app.command(name="replay")
def replay_(
    to: Annotated[
        str, typer.Option(help="A log position or an ISO time; default: where the views are now.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fold the log into fresh views and compare them with the live ones; exit 1 if these differ.

    With --to, the views are also folded as of then, and what has changed since is counted.
    """
    live = _live(Client())

    async def run(session: Session) -> list[dict[str, Any]]:
        log = session.log
        position = await _position(log, to) if to else None
        services = {name: _service(name, session) for name in live}
        with tempfile.TemporaryDirectory(prefix="phoenix-replay-") as folder:
            return [
                await _replayed(log, name, service, Path(folder), live[name], position)
                for name, service in services.items()
            ]

    rows = in_session(run)
    equal = all(row["equal"] for row in rows)
    silent = [name for name in BASE_PORTS if name not in live]
    if silent and not as_json:
        err.print(f"Not compared, for nobody answers: {', '.join(silent)}")
    columns = {
        "service": "service",
        "position": "position",
        "tables": "views",
        "rows": "rows",
        "seconds": "seconds",
        "result": "live views",
        "changed": "rows changed since",
    }
    show(
        {"equal": equal, "services": rows, "not_compared": silent},
        as_json=as_json,
        human=lambda: table(rows, columns, empty=""),
    )
    if not equal:
        raise typer.Exit(1)


async def _replayed(
    log: EventLog,
    name: str,
    service: Service,
    folder: Path,
    live: dict[str, Any],
    position: int | None,
) -> dict[str, Any]:
    clock = SystemClock()
    began = clock.monotonic()
    then: Digests | None = None
    if position is not None:
        then = await _digests(log, service, folder / name, min(position, live["position"]))
    fresh = await _digests(log, service, folder / name, live["position"])
    differences = compare(fresh, live["tables"])
    first = f"{len(differences)} rows differ, first: {differences[0]}" if differences else ""
    return {
        "service": name,
        "position": live["position"],
        "tables": len(fresh),
        "rows": sum(len(rows) for rows in fresh.values()),
        "seconds": round(clock.monotonic() - began, 2),
        "equal": not differences,
        "result": first or "equal",
        "differences": [asdict(difference) for difference in differences[:20]],
        **({} if then is None or position is None else _since(then, fresh, position)),
    }


async def _digests(log: EventLog, service: Service, folder: Path, to: int) -> Digests:
    """The rows as of a position; a second call with the same folder goes on from there."""
    views = await replay(log, service.tables, folder, to=to)
    try:
        return digests(views.dump())
    finally:
        views.close()


def _since(then: Digests, now: Digests, position: int) -> dict[str, Any]:
    changes = compare(then, now)
    return {
        "to": position,
        "rows_then": sum(len(rows) for rows in then.values()),
        "changed": len(changes),
        "changes": [asdict(change) for change in changes[:20]],
    }


def _live(client: Client) -> dict[str, Any]:
    """The digests of the leaders' views, by service; of those services that run.

    Raises:
        NotReachable: none does.
    """
    found: dict[str, Any] = {}
    missing: list[NotReachable] = []
    for name in BASE_PORTS:
        try:
            found[name] = client.get(name, "/views")
        except NotReachable as error:
            missing.append(error)
    if not found:
        raise missing[0]
    return found


def _service(name: str, session: Session) -> Service:
    """A service as its host makes it, only to ask for its views."""
    (entry,) = entry_points(group="phoenix.services", name=name)
    with tempfile.TemporaryDirectory(prefix="phoenix-replay-") as folder:
        context = Context(
            service=name,
            instance="replay",
            data_dir=str(session.settings.data_dir),
            port_shift=session.settings.port_shift,
            settings=session.settings,
            log=session.log,
            views=SqliteViews(Path(folder), ()),
            objects=session.objects,
            clock=session.clock,
            auth=session.users,
        )
        service: Service = entry.load()(context)
    return service


async def _events(log: EventLog, after: int) -> AsyncGenerator[Recorded[Event], None]:
    """Everything after a position, up to the end of the log as it is now."""
    end = await log.last_position()
    if end <= after:
        return
    subscription = log.follow(_SUBJECTS, after=after)
    try:
        async for batch in subscription:
            for recorded in batch.events:
                if recorded.position <= end:
                    yield recorded
            if batch.position >= end:
                return
    finally:
        await subscription.close()


async def _position(log: EventLog, wanted: str) -> int:
    """The position that ``--to`` names: itself, or the last one at or before a time."""
    last = await log.last_position()
    if wanted.isdecimal():
        if int(wanted) > last:
            raise typer.BadParameter(f"the log ends at position {last}", param_hint="--to")
        return int(wanted)
    return await position_at(log, moment(wanted, "--to"), last)
