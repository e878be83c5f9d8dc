"""``phoenix user | doctor | nats-context | bootstrap | demo | backup | restore``."""

import asyncio
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import PhoenixError
from infra.settings import BASE_PORTS, Settings, load
from phoenix import remote, takeover, unattended
from phoenix.cli.client import Client, Refused
from phoenix.cli.files import read_json
from phoenix.cli.intents import follow
from phoenix.cli.log import Session, in_session
from phoenix.cli.output import AsJson, out, pairs, show, table

user = typer.Typer(help="People who may approve and administrate.", no_args_is_help=True)

_MIN_DISK_BYTES = 500 * 2**20
_SAVED = ("nats", "keys", "checkpoints", "admin.token")  # all else is made again from the log


@user.command()
def add(
    name: str,
    role: Annotated[
        list[str] | None,
        typer.Option(help="admin, approver, operator or reader; repeatable.  [default: approver]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a person and print the token; it is shown this once."""

    async def run(session: Session) -> str:
        return await session.users.add(name, role or ["approver"])

    token = in_session(run)
    answer = {"name": name, "roles": role or ["approver"], "token": token}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


@user.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List everyone."""

    async def run(session: Session) -> list[dict[str, Any]]:
        return [
            {"name": person.name, "roles": sorted(person.roles), "revoked": person.revoked}
            for person in await session.users.list()
        ]

    rows = in_session(run)
    columns = {"name": "name", "roles": "roles", "revoked": "revoked"}
    show(rows, as_json=as_json, human=lambda: table(rows, columns, empty="Nobody yet."))


@user.command()
def revoke(name: str, as_json: AsJson = False) -> None:
    """Make a person's token worthless from now on."""

    async def run(session: Session) -> None:
        await session.users.revoke(name)

    in_session(run)
    answer = {"name": name, "revoked": True}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def nats_context(as_json: AsJson = False) -> None:
    """Print how a plain NATS client connects (url and, where there are any, credentials)."""
    settings = load()
    if settings.nats_url is not None:
        answer: dict[str, Any] = {"url": settings.nats_url}
        if settings.nats_creds is not None:
            answer["creds"] = str(settings.nats_creds)
    else:
        answer = {"url": f"nats://127.0.0.1:{settings.nats_port}"}
    answer["publish"] = ["intents.submit"]
    answer["subscribe"] = ["events.>"]
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def doctor(as_json: AsJson = False) -> None:
    """Check this machine and, when it runs, the system; exit 1 when something needed is missing."""
    settings = load()
    checks = [
        _check("python", lambda: sys.version.split()[0]),
        _check("nats-server", _nats_server),
        _check("data directory", lambda: _data_dir(settings)),
        _check("sandbox", lambda: _sandbox(settings)),
        _check("docker (tests only)", _docker, needed=False),
        _check("model", lambda: _model(settings), needed=False),
        _check("launcher", lambda: _launcher(settings), needed=False),
        _check("log", _log_position, needed=False),
        *(_check(name, lambda n=name: _health(n), needed=False) for name in BASE_PORTS),  # type: ignore[misc]
    ]
    ok = all(check["ok"] or not check["needed"] for check in checks)
    columns = {"check": "check", "ok": "ok", "found": "found"}
    show(
        {"ok": ok, "version": version("phoenix-autonomy"), "checks": checks},
        as_json=as_json,
        human=lambda: table(checks, columns, empty=""),
    )
    if not ok:
        raise typer.Exit(1)


def _check(name: str, probe: Callable[[], str], *, needed: bool = True) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "needed": needed, "found": probe()}
    except (PhoenixError, OSError, RuntimeError, ValueError, ImportError) as error:
        return {"check": name, "ok": False, "needed": needed, "found": str(error)}


def _nats_server() -> str:
    from infra.nats.embedded import binary

    return Path(binary()).name


def _data_dir(settings: Settings) -> str:
    folder = settings.data_dir.absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise OSError(f"{existing} is not writable")
    free = shutil.disk_usage(existing).free
    if free < _MIN_DISK_BYTES:
        raise OSError(f"{free // 2**20} MiB free, {_MIN_DISK_BYTES // 2**20} MiB are needed")
    return f"{folder}, {free // 2**30} GiB free"


def _sandbox(settings: Settings) -> str:
    from infra.sandbox import best_level

    return asyncio.run(best_level(settings.sandbox)).level


def _launcher(settings: Settings) -> str:
    if pid := remote.running(settings.data_dir):
        return f"runs, pid {pid}"
    if left := takeover.abandoned(settings.data_dir):
        count = sum(len(instances) for instances in left.values())
        raise OSError(f"was killed; {count} instances go on. {unattended.ADVICE}")
    raise OSError("does not run: phoenix up")


def _docker() -> str:
    found = shutil.which("docker")
    if found is None:
        raise OSError("not installed: the container tests are left out")
    return found


def _model(settings: Settings) -> str:
    if settings.anthropic_api_key is None:
        raise ValueError("no ANTHROPIC_API_KEY: the rubric evaluates instead")
    from domain.rubric import parse_blueprint
    from infra.claude import ClaudeEvaluator
    from infra.claude.evaluator import NoVerdict

    key = settings.anthropic_api_key.get_secret_value()

    async def ask() -> str:
        evaluator = ClaudeEvaluator(
            parse_blueprint(""), lambda: (), api_key=key, model=settings.model, budget_s=20
        )
        try:
            return await evaluator.probe()
        finally:
            await evaluator.close()

    try:
        return f"{asyncio.run(ask())} answers"
    except NoVerdict as error:
        raise ValueError(f"{settings.model}: {error}") from error


def _log_position() -> str:
    async def run(session: Session) -> int:
        return await session.log.last_position()

    return f"position {in_session(run)}"


def _health(service: str) -> str:
    health = Client().get(service, "/health")
    if health["status"] != "active":
        raise ValueError(f"{health['status']}: {health.get('problem', '')}")
    return f"{health['status']}, {health['role']}, epoch {health['epoch']}"


def demo(as_json: AsJson = False) -> None:
    """Submit the revenue-analytics example and follow it to a running service."""
    from infra import components

    client = Client()
    example = components.source_root(load()) / "examples" / "revenue-analytics.json"
    answer = client.post("intent-queue", "/intents/submit", read_json(example))
    code = follow(client, answer["intent_id"], as_json=as_json)
    if code == 0 and not as_json:
        intent = client.get("intent-queue", f"/intents/{answer['intent_id']}")
        out.print(
            f"It runs at {intent['deployment_url']}; its API: {intent['deployment_url']}/schema"
        )
    raise typer.Exit(code)


def bootstrap(as_json: AsJson = False) -> None:
    """Submit one intent for each of the system's own services (kind: component, tier 0)."""
    from infra import components

    client = Client()
    root = components.source_root(load())
    answers = []
    for name in BASE_PORTS:
        purpose, features = components.ABOUT[name]
        body = {
            "service_name": name,
            "purpose": purpose,
            "key_features": features,
            "service_type": "infrastructure",
            "kind": "component",
            "source": "cli",
            # What an approver sees and approves is this source and no other.
            "metadata": {"source_digest": components.fingerprint(components.digest_of(root, name))},
        }
        try:
            answer = client.post("intent-queue", "/intents/submit", body)
        except Refused as error:
            answer = {"status": "refused", "reason": str(error)}
        answers.append({"service_name": name, **answer})
    columns = {
        "service_name": "service",
        "intent_id": "intent",
        "status": "status",
        "reason": "reason",
    }
    show(answers, as_json=as_json, human=lambda: table(answers, columns, empty=""))


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write (.tar.gz).")],
    as_json: AsJson = False,
) -> None:
    """Save the data directory (log, artifacts, keys) of a stopped system into FILE."""
    settings = load()
    _require_stopped(settings)
    if not settings.data_dir.is_dir():
        raise Refused(f"there is no data directory {settings.data_dir}")
    try:
        _save(settings.data_dir, file)
    except FileExistsError:
        raise Refused(f"{file} exists already") from None
    answer = {"file": str(file), "bytes": file.stat().st_size}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def _save(data_dir: Path, file: Path) -> None:
    """Keys are in it: nobody else may read it at any moment. What is not whole does not stay."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as target, tarfile.open(fileobj=target, mode="w:gz") as archive:
            for part in _SAVED:
                if (data_dir / part).exists():
                    archive.add(data_dir / part, arcname=part)
    except BaseException:
        file.unlink()
        raise


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that backup wrote.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty data directory; views are folded again at the next start."""
    settings = load()
    _require_stopped(settings)
    if settings.data_dir.exists() and any(settings.data_dir.iterdir()):
        raise Refused(f"{settings.data_dir} is not empty")
    data_dir = settings.data_dir.absolute()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    # Beside it first: half of a backup is no data directory.
    with tempfile.TemporaryDirectory(dir=data_dir.parent, prefix=f"{data_dir.name}-") as folder:
        try:
            with tarfile.open(file, "r:gz") as archive:
                archive.extractall(folder, filter=_kept)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise Refused(f"{file}: {error}") from None
        if not any((Path(folder) / part).exists() for part in _SAVED):
            raise Refused(f"{file} is no backup: there is neither log nor key in it")
        data_dir.mkdir(exist_ok=True)
        for part in Path(folder).iterdir():
            part.rename(data_dir / part.name)
    answer = {"data_dir": str(settings.data_dir), "restored": True}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def _kept(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """As the ``data`` filter, but a folder stays closed to whom it was closed."""
    return tarfile.data_filter(member, path).replace(mode=member.mode & 0o755)


def _require_stopped(settings: Settings) -> None:
    async def reach() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", settings.nats_port)
        writer.close()

    try:
        asyncio.run(asyncio.wait_for(reach(), 1))
    except (OSError, TimeoutError):
        return
    raise Refused("the system is running: stop it first (phoenix down)")
