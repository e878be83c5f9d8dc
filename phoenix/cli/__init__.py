"""The ``phoenix`` command.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not reachable.
"""

import sys

import structlog
import typer

from domain.errors import PhoenixError, TransientError
from infra.settings import WrongSetting
from phoenix.cli import admin, audit, delivery, governance, intents, up
from phoenix.cli.client import NotReachable
from phoenix.cli.output import err

app = typer.Typer(
    name="phoenix",
    help="Intents become governed, built, deployed and self-healing services.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(intents.app, name="intent")
app.add_typer(governance.policy, name="policy")
app.add_typer(governance.delegation, name="delegation")
app.add_typer(delivery.spec, name="spec")
app.add_typer(delivery.build, name="build")
app.add_typer(delivery.udc, name="udc")
app.add_typer(audit.app, name="audit")
app.add_typer(admin.user, name="user")
for command in (
    up.up,
    up.down,
    up.status,
    up.switchover,
    governance.approvals,
    governance.approve,
    governance.reject,
    governance.override,
    governance.mode,
    delivery.ssot,
    admin.doctor,
    admin.demo,
    admin.bootstrap,
    admin.backup,
    admin.restore,
    admin.nats_context,
):
    app.command()(command)


def main() -> None:
    """Run a command; an error is one line, never a traceback."""
    sys.exit(run())


def run(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    # What a command prints is its answer; what the program notes meanwhile goes beside it.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        app(args=argv, prog_name="phoenix")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except (NotReachable, TransientError) as error:
        return _fail(error, 3)
    except WrongSetting as error:
        return _fail(error, 2)
    except (PhoenixError, OSError) as error:  # a full disk, a folder that is not there
        return _fail(error, 1)
    return 0


def _fail(error: Exception, code: int) -> int:
    err.print(f"phoenix: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code
