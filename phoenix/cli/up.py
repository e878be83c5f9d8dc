"""``phoenix up``, ``down``, ``status`` and ``switchover``: the system on this host."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.console import Group as Lines
from rich.live import Live
from rich.text import Text

from infra.settings import BASE_PORTS, Settings, load
from phoenix import remote, takeover, unattended
from phoenix import status as views
from phoenix.cli.output import AsJson, out, show
from phoenix.cli.uptime import Window, show_uptime
from phoenix.launcher import Launcher, Note, Options

DOWN_BOUND_S = 40.0
_NOTES_SHOWN = 8
_REFRESH_S = 0.5


def up(
    services: Annotated[str, typer.Option(help="Only these services, separated by commas.")] = "",
    instances: Annotated[int, typer.Option(min=1, max=9, help="Instances of each service.")] = 3,
    port_shift: Annotated[
        int | None, typer.Option(min=0, help="Move every port by this number.")
    ] = None,
    no_tty: Annotated[bool, typer.Option("--no-tty", help="Plain lines, no live table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the system and keep it running until Ctrl-C."""
    settings = load(port_shift=port_shift)
    names = _names(services)
    options = Options(
        services={name: (name, settings.port(name)) for name in names if name in BASE_PORTS},
        instances=instances,
        only=frozenset(names) if services else None,
    )
    raise typer.Exit(run_launcher(settings, options, shown=shown_as(no_tty, as_json)))


def down(as_json: AsJson = False) -> None:
    """Stop the running system in order and wait until nothing of it is left."""
    settings = load()
    pid = remote.running(settings.data_dir)
    if not pid and (left := takeover.abandoned(settings.data_dir)):
        _dismantle(settings, left, as_json=as_json)
        return
    remote.ask(settings.data_dir, {"command": "stop"})
    deadline = time.monotonic() + DOWN_BOUND_S
    while remote.alive(pid):
        if time.monotonic() > deadline:
            raise remote.Refused(f"the launcher (pid {pid}) has not ended in {DOWN_BOUND_S:g} s")
        time.sleep(0.05)
    show({"stopped": pid}, as_json=as_json, human=lambda: out.print(f"stopped (pid {pid})"))


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    uptime: Annotated[
        bool, typer.Option("--uptime", help="Availability, error budget, recoveries, cost.")
    ] = False,
    window: Annotated[Window, typer.Option(help="For --uptime.")] = Window.month,
    as_json: AsJson = False,
) -> None:
    """Show every instance: role, epoch, capacity, health, restarts, last failover."""
    if uptime:
        show_uptime(window.value, as_json=as_json)
        return
    settings = load()
    state = _state(settings)
    if not watch:
        show(state, as_json=as_json, human=lambda: _print(state))
        if not state["pid"]:
            raise typer.Exit(1)
        return
    if as_json:
        _stream(settings)
        return
    with Live(_screen(state), console=out, refresh_per_second=4, screen=out.is_terminal) as live:
        while True:
            time.sleep(_REFRESH_S)
            live.update(_screen(_state(settings)))


def switchover(service: str, as_json: AsJson = False) -> None:
    """Move the leadership of SERVICE to a standby, in order; also lifts a stop on promotions."""
    settings = load()
    done = remote.ask(settings.data_dir, {"command": "switchover", "service": service})
    line = f"{service}: {done['from'] or 'nobody'} -> {done['to']}, epoch {done['epoch']}"
    show(done, as_json=as_json, human=lambda: out.print(line))


def _state(settings: Settings) -> dict[str, Any]:
    """What the launcher says; without one, what its instances say themselves.

    Raises:
        TransientError: nothing runs, or it does not answer.
    """
    if not remote.running(settings.data_dir):
        left = takeover.abandoned(settings.data_dir)
        if left:
            return asyncio.run(unattended.state(settings, left))
    return remote.ask(settings.data_dir, {"command": "status"})


def _dismantle(settings: Settings, left: dict[str, list[dict[str, Any]]], *, as_json: bool) -> None:
    """End in order what killed launchers left."""
    ended = 0
    for lock in left:
        ended += asyncio.run(Launcher(settings, Options(services={}, lock=lock)).dismantle())
    line = f"stopped {ended} instances that a killed launcher had left"
    show({"stopped": 0, "instances": ended}, as_json=as_json, human=lambda: out.print(line))


Shown = Literal["live", "lines", "json"]


def shown_as(no_tty: bool, as_json: bool) -> Shown:
    """How a launcher shows itself: a live table only where somebody looks."""
    if as_json:
        return "json"
    return "lines" if no_tty or not sys.stdout.isatty() else "live"


def run_launcher(settings: Settings, options: Options, *, shown: Shown) -> int:
    """Run a launcher in this process and show it; return its exit status."""
    return asyncio.run(_run(settings, options, shown))


async def _run(settings: Settings, options: Options, shown: Shown) -> int:
    launcher = Launcher(settings, options)
    screens = {"live": _live, "lines": _lines, "json": _objects}
    screen = asyncio.create_task(screens[shown](launcher))
    try:
        return await launcher.run()
    finally:
        screen.cancel()
        await asyncio.gather(screen, return_exceptions=True)
        launcher.changed = lambda _: None
        if launcher.ready_s is not None:
            _line(json.dumps({"stopped": True}) if shown == "json" else "stopped")


async def _lines(launcher: Launcher) -> None:
    launcher.changed = lambda note: _line(_told(note))
    await launcher.ready()
    if launcher.ready_s is not None:
        for line in _welcome(launcher):
            _line(line)


async def _objects(launcher: Launcher) -> None:
    """A JSON object a line: notes as they come, and the whole state once it is ready."""
    launcher.changed = lambda note: _line(json.dumps(asdict(note)))
    await launcher.ready()
    if launcher.ready_s is not None:
        _line(json.dumps({"sign_in": _sign_in(launcher), **launcher.status()}, default=str))


async def _live(launcher: Launcher) -> None:
    with Live(console=out, auto_refresh=False, transient=True) as live:
        while True:
            state = launcher.status()
            notes = [
                Text(_told(note), style="dim") for note in list(launcher.notes)[-_NOTES_SHOWN:]
            ]
            head = [Text(line) for line in _welcome(launcher)] if launcher.ready_s else []
            live.update(Lines(_screen(state), Text(""), *head, *notes), refresh=True)
            await asyncio.sleep(_REFRESH_S)


def _welcome(launcher: Launcher) -> list[str]:
    count = sum(len(group.members) for group in launcher.groups.values())
    lines = [f"{count} instances healthy after {launcher.ready_s:.1f} s"]
    if url := _sign_in(launcher):
        lines.append(f"dashboard: {url}")
    lines.append("Ctrl-C stops everything")
    return lines


def _sign_in(launcher: Launcher) -> str:
    """The link to the dashboard; "" where this launcher has none."""
    if "approval-dashboard" not in launcher.groups:
        return ""
    port = launcher.groups["approval-dashboard"].plan.ports[0]
    return f"http://127.0.0.1:{port}/sign-in?token={launcher.admin_token}"


def _screen(state: dict[str, Any]) -> Lines:
    troubles = [Text(f"! {name}: {why}", style="red") for name, why in state["troubles"].items()]
    nats = state["nats"]
    launcher = f"launcher pid {state['pid']}" if state["pid"] else "no launcher"
    head = f"NATS {nats['url']}, restarts {nats['restarts']}; {launcher}"
    return Lines(
        Text(head, style="dim"),
        views.table(state["services"], width=out.width if out.is_terminal else views.WIDE),
        *views.remarks(state["services"]),
        *troubles,
    )


def _print(state: dict[str, Any]) -> None:
    console = out if out.is_terminal else Console(width=views.WIDE * 2)  # a pipe has no width
    console.print(_screen(state))


def _stream(settings: Settings) -> None:
    while True:
        sys.stdout.write(json.dumps(_state(settings)) + "\n")
        sys.stdout.flush()
        time.sleep(_REFRESH_S)


def _names(given: str) -> list[str]:
    if not given:
        return list(BASE_PORTS)
    return [name.strip() for name in given.split(",") if name.strip()]


def _told(note: Note) -> str:
    return f"{note.at:8.2f} s  {note.service}: {note.text}"


def _line(text: str) -> None:
    with suppress(OSError):  # the terminal or the reader is gone; the launcher has its log
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
