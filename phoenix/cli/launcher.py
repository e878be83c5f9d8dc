"""``phoenix-launcher``: one service under the Phoenix Protocol."""

import asyncio
import sys
from typing import Annotated

import typer

from domain.errors import PhoenixError, TransientError
from infra.settings import Settings, WrongSetting, load
from phoenix.cli.output import AsJson, err
from phoenix.cli.up import run_launcher, shown_as
from phoenix.launcher import Options
from phoenix.reference import UnknownService, names

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def launch(
    service: Annotated[
        str, typer.Option(help="A built-in or deployed service, or module:function.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Base port; the others follow.")],
    instances: Annotated[int, typer.Option(min=1, max=9)] = 3,
    capacity: Annotated[int, typer.Option(min=1, max=16, help="Of standbys and promoted.")] = 2,
    no_tty: Annotated[bool, typer.Option("--no-tty")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep one leader and its standbys of SERVICE alive until Ctrl-C."""
    settings = load()
    name = service.split(":")[0].rsplit(".", 1)[-1] if ":" in service else service
    builtin = ":" in service or service in names()
    if not builtin and not asyncio.run(_deployed(settings, service)):
        raise UnknownService(
            f"no service {service!r}: neither built in ({', '.join(names())}) nor deployed here"
        )
    options = Options(
        services={name: (service, port)} if builtin else {},
        instances=instances,
        capacity=capacity,
        deployed=not builtin,
        only=frozenset({name}),
        base_of={name: port},
        lock=f"launcher-{name}",
        own_server=False,
    )
    raise typer.Exit(run_launcher(settings, options, shown=shown_as(no_tty, as_json)))


async def _deployed(settings: Settings, service: str) -> bool:
    from infra.nats.connection import open_connection
    from infra.nats.log import JetStreamLog

    nc = await open_connection(settings, "service")
    try:
        log = JetStreamLog(nc)
        found = await log.last(f"events.deployment.{service}")
        await log.close()
    finally:
        await nc.close()
    return found is not None


def main() -> None:
    """Run; an error is one line, never a traceback."""
    try:
        app()
    except WrongSetting as error:
        _fail(error, 2)
    except TransientError as error:
        _fail(error, 3)
    except PhoenixError as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> None:
    err.print(f"phoenix-launcher: {error}", style="red", markup=False, soft_wrap=True)
    sys.exit(code)
