"""``phoenix audit``: read the log, and prove that the views are what it says."""

import json
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Invalid
from domain.event import Event
from domain.recorded import Recorded
from infra.clock import SystemClock
from infra.http.stream import as_json as event_json
from infra.ports import Context, EventLog, Service
from infra.replay import Digests, compare, digests, replay
from infra.settings import BASE_PORTS
from infra.views import SqliteViews
from phoenix.cli import audit_proof
from phoenix.cli.client import Client
from phoenix.cli.log import Session, in_session
from phoenix.cli.output import AsJson, out, show, table, text

app = typer.Typer(help="Read, replay, prove and move the log.", no_args_is_help=True)
audit_proof.register(app)

_SUBJECTS = ("intents.>", "events.>")


@app.command(name="show")
def show_(
    intent: Annotated[str, typer.Option(help="Only this intent.")] = "",
    service: Annotated[str, typer.Option(help="Only events written by this service.")] = "",
    actor: Annotated[str, typer.Option(help="Only this actor.")] = "",
    type_: Annotated[str, typer.Option("--type", help="Only this event, e.g. DecisionMade.")] = "",
    since: Annotated[str, typer.Option(help="From this ISO time on.")] = "",
    until: Annotated[str, typer.Option(help="Up to this ISO time.")] = "",
    after: Annotated[int, typer.Option(help="After this log position.", min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Print events of the log, oldest first (JSON: one event a line)."""
    begin = _time(since) if since else None
    end = _time(until) if until else None

    def keep(recorded: Recorded[Event]) -> bool:
        return (
            (not intent or recorded.correlation_id == intent)
            and (not service or recorded.source.endswith(service))
            and (not actor or recorded.actor == actor)
            and (not type_ or recorded.event.type.split(".")[0] == type_)
            and (begin is None or recorded.event.at >= begin)
            and (end is None or recorded.event.at <= end)
        )

    async def read(session: Session) -> list[Recorded[Event]]:
        found = []
        async with aclosing(_events(session.log, after)) as events:
            async for recorded in events:
                if keep(recorded):
                    found.append(recorded)
                if len(found) == limit:
                    break
        return found

    for recorded in in_session(read):
        item = event_json(recorded)
        if as_json:
            sys.stdout.write(json.dumps(item) + "\n")
        else:
            name = recorded.event.type.split(".")[0]
            out.print(
                f"{recorded.position:>8}  {recorded.event.at:%Y-%m-%d %H:%M:%S}  {name:<20}"
                f" {text(recorded.actor):<18} {text(recorded.subject)}",
                soft_wrap=True,
            )


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
        position = await _position(log, to) if to else 0
        services = {name: _service(name, session) for name in BASE_PORTS}
        with tempfile.TemporaryDirectory(prefix="phoenix-replay-") as folder:
            return [
                await _replayed(log, name, service, Path(folder), live[name], position)
                for name, service in services.items()
            ]

    rows = in_session(run)
    equal = all(row["equal"] for row in rows)
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
        {"equal": equal, "services": rows},
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
    position: int,
) -> dict[str, Any]:
    clock = SystemClock()
    began = clock.monotonic()
    then: Digests | None = None
    if position:
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
        **({} if then is None else _since(then, fresh, position)),
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
    """The digests of the leaders' views, by service."""
    return {name: client.get(name, "/views") for name in BASE_PORTS}


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
    if wanted.isdigit():
        return int(wanted)
    moment, found = _time(wanted), 0
    async with aclosing(_events(log, 0)) as events:
        async for recorded in events:
            if recorded.event.at <= moment:
                found = recorded.position
    return found


def _time(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Invalid("time", f"{value!r} is neither a log position nor an ISO time") from None
    return moment.astimezone()
