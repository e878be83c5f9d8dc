"""Check the log of a server, or an archive of one, and name what is wrong as exactly as can be."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from domain.audit import LogSealed
from infra.audit import Fault, Trusted, Verdict, Walk, signed
from infra.audit_archive import check
from infra.audit_diff import differences
from infra.audit_store import Checkpoints
from infra.nats.entries import entries, seals_in
from infra.nats.log import JetStreamLog


async def check_log(log: JetStreamLog, trusted: Trusted, store: Checkpoints) -> Verdict:
    """Compare every message with the checkpoints in the log and those in the store."""
    told, damaged = await seals_in(log)
    kept, unreadable = store.read()
    end = await log.last_position()  # last: no checkpoint above may be newer than what is read
    walk, digests = Walk([*told, *kept], trusted), []
    async with aclosing(entries(log.nc, to=end)) as found:
        async for entry in found:
            digests.append(walk.take(entry))
    more = [Fault(at - 1, at, "a checkpoint that cannot be read") for at in damaged]
    more += [Fault(0, 0, f"{path} cannot be read") for path in unreadable]
    return _named(_with(walk.end(), more), digests, kept, store, trusted)


def check_archive(path: Path, trusted: Trusted, store: Checkpoints | None = None) -> Verdict:
    """Compare an archive with its own checkpoints and, if given, with a store's.

    Raises:
        Invalid: it is not an archive, or a line of it cannot be read.
    """
    checked = check(path, trusted)
    if store is None:
        return _sealed(checked.verdict)
    kept, _ = store.read()
    walk = Walk([*checked.checkpoints, *kept], trusted)
    for position, digest in enumerate(checked.digests, 1):
        walk.add(position, digest)
    found = walk.end()
    also = [fault for fault in checked.verdict.faults if fault not in found.faults]
    return _named(_with(found, also), checked.digests, kept, store, trusted)


def _named(
    verdict: Verdict,
    digests: Sequence[bytes],
    kept: Sequence[LogSealed],
    store: Checkpoints,
    trusted: Trusted,
) -> Verdict:
    """Put the very messages first, if the digests beside the checkpoints tell."""
    good = [checkpoint for checkpoint in kept if signed(checkpoint, trusted)]
    if verdict.holds or not good:
        return _sealed(verdict)
    expected = store.digests(good[-1])
    exact = differences(expected, digests) if expected else ()
    return replace(verdict, faults=(*exact, *verdict.faults))


def _sealed(verdict: Verdict) -> Verdict:
    """A log without any checkpoint shows nothing, so it does not hold."""
    if verdict.sealed or not verdict.holds:
        return verdict
    return _with(verdict, [Fault(0, verdict.messages, "nothing is sealed: nothing is shown")])


def _with(verdict: Verdict, faults: Iterable[Fault]) -> Verdict:
    return replace(verdict, faults=(*verdict.faults, *faults))
