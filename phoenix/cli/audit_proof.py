"""``phoenix audit seal | verify | prove | export | import``: evidence that needs no trust in us."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.audit import LogSealed
from domain.errors import Invalid, PhoenixError
from domain.merkle import Tree
from infra import audit_archive as archives
from infra.audit import Trusted, Verdict, leaf, once, signed
from infra.audit_check import check_archive, check_log
from infra.audit_proof import CONSISTENCY, check_growth, check_proof, kind, prove, prove_growth
from infra.audit_store import Checkpoints, keys_from, trusted_keys
from infra.nats.connection import open_connection
from infra.nats.embedded import EmbeddedServer
from infra.nats.entries import entries, messages, seals_in
from infra.settings import Settings, load
from phoenix import remote
from phoenix.cli.log import Session, in_session
from phoenix.cli.output import AsJson, out, pairs, show

Keys = Annotated[
    list[Path] | None, typer.Option(help="A public key (log.pub); default: this system's own.")
]
Copies = Annotated[
    Path | None, typer.Option(help="A copy of the folder `checkpoints` kept elsewhere.")
]
_FAULTS_SHOWN = 20


def seal(as_json: AsJson = False) -> None:
    """Seal the log now: a signed checkpoint over everything written so far."""
    answer = remote.ask(load().data_dir, {"command": "seal"})
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def verify(
    proof: Annotated[Path | None, typer.Option(help="Check a file that `prove` wrote.")] = None,
    archive: Annotated[Path | None, typer.Option(help="Check a file of `export`.")] = None,
    key: Keys = None,
    checkpoints: Copies = None,
    as_json: AsJson = False,
) -> None:
    """Compare the log (or a file, offline) with what was sealed; exit 1 and say what differs."""
    if proof is not None:
        found = _proof(proof, _trusted(key))
        show(found, as_json=as_json, human=lambda: pairs(found))
        return
    if archive is not None:
        copies = Checkpoints(checkpoints) if checkpoints else None
        verdict = check_archive(archive, _trusted(key), copies)
    else:
        store = Checkpoints(checkpoints or load().data_dir / "checkpoints")
        verdict = in_session(lambda session: check_log(session.log, _trusted(key), store))
    _tell(verdict, as_json=as_json)


def prove_(
    position: Annotated[int, typer.Argument(min=1, help="The event's log position.")],
    file: Annotated[Path, typer.Option("--out", help="The proof to write.")],
    growth: Annotated[
        bool, typer.Option("--growth", help="Prove instead that the log only grew since then.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a proof that an event stands in the sealed log; `verify --proof` checks it offline."""
    if file.exists():
        raise Invalid("out", f"{file} exists already")
    made = in_session(lambda session: _prove(session, position, growth=growth))
    file.write_bytes(made)
    answer = {"file": str(file), "bytes": len(made), "format": kind(made)}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def export(
    file: Annotated[Path, typer.Argument(help="The archive (.ndjson or .ndjson.gz).")],
    as_json: AsJson = False,
) -> None:
    """Write the whole log with its checkpoints and proofs into a portable archive."""
    _seal_if_running()

    async def run(session: Session) -> int:
        known, end = await _checkpoints(session), await session.log.last_position()
        async with aclosing(messages(session.log.nc, to=end)) as found:
            return await archives.export(file, found, known, _trusted())

    count = in_session(run)
    answer = {"file": str(file), "messages": count, "bytes": file.stat().st_size}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def import_(
    file: Annotated[Path, typer.Argument(help="An archive that export wrote.")],
    key: Annotated[Path, typer.Option(help="The public key that sealed it; trusted from now on.")],
    as_json: AsJson = False,
) -> None:
    """Put an archive into an empty server: the same positions, the same bytes."""
    checked = archives.check(file, keys_from([key]))
    if not checked.verdict.holds:
        _tell(checked.verdict, as_json=as_json)
    last = asyncio.run(_put_back(load(), file))
    _keep(load().data_dir, key, checked)
    answer = {"messages": checked.verdict.messages, "last": last}
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def _proof(file: Path, trusted: Trusted) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Invalid("proof", f"{file}: {error.strerror}") from error
    if kind(data) == CONSISTENCY:
        earlier, later = check_growth(data, trusted)
        return {"holds": True, "earlier": earlier.position, "later": later.position}
    entry = check_proof(data, trusted)
    return {
        "holds": True,
        "position": entry.position,
        "subject": entry.subject,
        "body": entry.body.decode(errors="replace"),
    }


async def _prove(session: Session, position: int, *, growth: bool) -> bytes:
    known = await _checkpoints(session)
    if not known or known[-1].position < position or growth:
        _seal_if_running()
        known = await _checkpoints(session)
    if not known or known[-1].position < position:
        raise Invalid("position", f"no checkpoint covers {position} yet (phoenix audit seal)")
    newest, tree, wanted = known[-1], Tree(), None
    async with aclosing(entries(session.log.nc, to=newest.position)) as found:
        async for entry in found:
            tree.append(leaf(entry))
            if entry.position == position:
                wanted = entry
    if growth:
        earlier = [c for c in known if c.position <= position]
        if not earlier:
            raise Invalid("position", f"nothing was sealed up to {position}")
        return prove_growth(tree, earlier[-1], newest)
    assert wanted is not None
    return prove(tree, wanted, newest)


async def _checkpoints(session: Session) -> list[LogSealed]:
    """Every signed one, in the log or beside it."""
    trusted = _trusted()
    told, _ = await seals_in(session.log)
    kept, _ = Checkpoints(session.settings.data_dir / "checkpoints").read()
    return [c for c in once([*told, *kept]) if signed(c, trusted)]


def _seal_if_running() -> None:
    with suppress(PhoenixError):
        remote.ask(load().data_dir, {"command": "seal"})


async def _put_back(settings: Settings, file: Path) -> int:
    server = None
    if not settings.nats_url:
        if remote.running(settings.data_dir):
            raise Invalid("log", "the system is running: stop it first (phoenix down)")
        server = EmbeddedServer(settings.data_dir, settings.nats_port)
        await server.start()
    try:
        nc = await open_connection(settings, "owner")
        try:
            return await archives.put_back(nc, file, settings.replicas)
        finally:
            await nc.close()
    finally:
        if server is not None:
            await server.stop()


def _keep(data_dir: Path, key: Path, checked: archives.Checked) -> None:
    """Trust the key that sealed it, and keep the newest checkpoint with its digests."""
    newest = max(checked.checkpoints, key=lambda c: c.position)
    folder = data_dir / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / f"log-{newest.key_id}.pub").write_bytes(key.read_bytes())
    Checkpoints(data_dir / "checkpoints").add(newest, checked.digests[: newest.tree_size])


def _trusted(keys: list[Path] | None = None) -> Trusted:
    return keys_from(keys) if keys else trusted_keys(load().data_dir)


def _tell(verdict: Verdict, *, as_json: bool) -> None:
    """Show a verdict; exit 1 when it does not hold."""
    answer = {
        "holds": verdict.holds,
        "messages": verdict.messages,
        "checkpoints": verdict.checkpoints,
        "sealed": verdict.sealed,
        "faults": [asdict(fault) for fault in verdict.faults],
    }

    def human() -> None:
        word = "holds" if verdict.holds else "DOES NOT HOLD"
        if not verdict.checkpoints:
            out.print("not sealed yet, or its checkpoints are gone; `phoenix audit seal` seals it")
        out.print(
            f"the log {word}: {verdict.messages} messages, {verdict.checkpoints} checkpoints,"
            f" as sealed up to {verdict.sealed}"
        )
        for fault in verdict.faults[:_FAULTS_SHOWN]:
            exact = fault.position - fault.after <= 1
            where = f"{fault.position}" if exact else f"{fault.after + 1}..{fault.position}"
            out.print(f"  {where}: {fault.what}", soft_wrap=True)
        if len(verdict.faults) > _FAULTS_SHOWN:
            out.print(f"  and {len(verdict.faults) - _FAULTS_SHOWN} more")

    show(answer, as_json=as_json, human=human)
    if not verdict.holds:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to ``phoenix audit``."""
    app.command()(seal)
    app.command()(verify)
    app.command(name="prove")(prove_)
    app.command()(export)
    app.command(name="import")(import_)
