"""Changing, dropping, moving, adding or forging one stored message is found and located."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from domain.audit import LogSealed
from domain.errors import Invalid
from domain.merkle import CompactRange, Tree
from infra.audit import Entry, Fault, Verdict, content, grow, leaf, seal, trust, verify
from infra.audit_diff import differences
from infra.audit_proof import check_growth, check_proof, prove, prove_growth
from infra.nats.entries import entries
from infra.nats.log import JetStreamLog
from infra.ports import Write
from tests.contract.test_event_log import degraded, meta

T0 = datetime(2030, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = trust(KEY.public_key())
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
EVERY = 10
LOG = [Entry(n, f"events.service.{n % 3}", f"body {n}".encode()) for n in range(1, 61)]

Tamper = Callable[[list[Entry], int], list[Entry]]


async def stored(log: Sequence[Entry]) -> AsyncIterator[Entry]:
    for entry in log:
        yield entry


async def sealed(log: Sequence[Entry]) -> list[LogSealed]:
    checkpoints, tree = [], CompactRange()
    for start in range(0, len(log), EVERY):
        position = await grow(tree, stored(log[start : start + EVERY]))
        checkpoints.append(seal(tree, position, KEY, T0))
    return checkpoints


async def check(log: Sequence[Entry]) -> Verdict:
    return await verify(stored(log), await sealed(LOG), PUBLIC)


def changed(log: list[Entry], at: int) -> list[Entry]:
    return [e._replace(body=e.body + b"!") if e.position == at else e for e in log]


def renamed(log: list[Entry], at: int) -> list[Entry]:
    return [e._replace(subject="events.x") if e.position == at else e for e in log]


def dropped(log: list[Entry], at: int) -> list[Entry]:
    return [e for e in log if e.position != at]


def closed_up(log: list[Entry], at: int) -> list[Entry]:
    """Dropped, and the later ones moved up so that no gap shows."""
    return [e._replace(position=e.position - (e.position > at)) for e in log if e.position != at]


def swapped(log: list[Entry], at: int) -> list[Entry]:
    other = at % len(log) + 1
    bodies = {at: log[other - 1].body, other: log[at - 1].body}
    return [e._replace(body=bodies.get(e.position, e.body)) for e in log]


def reordered(log: list[Entry], at: int) -> list[Entry]:
    """Two neighbours in each other's place, with all that they are."""
    first, second = log[at - 1], log[at]
    pair = [second._replace(position=at), first._replace(position=at + 1)]
    return [*log[: at - 1], *pair, *log[at + 1 :]]


def inserted(log: list[Entry], at: int) -> list[Entry]:
    later = [e._replace(position=e.position + 1) for e in log[at - 1 :]]
    return [*log[: at - 1], Entry(at, "events.service.0", b"forged"), *later]


async def test_an_untouched_log_holds_up_to_its_last_checkpoint() -> None:
    verdict = await check(LOG)
    assert verdict == Verdict(messages=60, checkpoints=6, sealed=60, faults=())
    longer = [*LOG, Entry(61, "events.service.0", b"new")]
    assert (await check(longer)).holds


@pytest.mark.parametrize(
    "tamper", [changed, renamed, dropped, closed_up, swapped, reordered, inserted]
)
@given(at=st.integers(1, 59))
async def test_whatever_is_done_to_one_message_is_found_and_located(
    tamper: Tamper, at: int
) -> None:
    verdict = await check(tamper(LOG, at))
    assert not verdict.holds
    first = verdict.faults[0]
    assert first.after < at <= first.position
    assert first.position - first.after <= EVERY
    assert verdict.sealed <= at - 1


async def test_a_missing_message_is_named_exactly() -> None:
    first = (await check(dropped(LOG, 23))).faults[0]
    assert (first.after, first.position, first.what) == (22, 23, "missing")


async def test_a_cut_tail_is_found() -> None:
    verdict = await check(LOG[:35])
    assert (verdict.sealed, verdict.faults[0].after) == (30, 30)
    assert verdict.faults[0].what == "the end is missing"


async def test_a_checkpoint_of_another_key_or_with_another_root_does_not_count() -> None:
    genuine = await sealed(LOG)
    tree = CompactRange()
    await grow(tree, stored(changed(LOG[:20], 5)))
    forged = seal(tree, 20, OTHER, T0).model_copy(update={"key_id": genuine[1].key_id})
    verdict = await verify(stored(changed(LOG, 5)), [genuine[0], forged, *genuine[2:]], PUBLIC)
    assert [f.position for f in verdict.faults if "signed" in f.what] == [20]
    assert not verdict.holds
    altered = genuine[1].model_copy(update={"tree_size": 21})
    assert not (await verify(stored(LOG), [altered], PUBLIC)).holds


async def test_one_event_is_proven_with_nothing_but_the_file_and_the_public_key() -> None:
    checkpoint, tree = (await sealed(LOG))[-1], Tree(leaf(entry) for entry in LOG)
    proof = prove(tree, LOG[22], checkpoint)
    assert check_proof(proof, PUBLIC) == LOG[22]
    with pytest.raises(Invalid, match="not signed"):
        check_proof(proof, trust(OTHER.public_key()))
    for field, value in (("position", 24), ("subject", "events.x"), ("body", "eA=="), ("index", 3)):
        forged = orjson.dumps({**orjson.loads(proof), field: value})
        with pytest.raises(Invalid, match="not part of"):
            check_proof(forged, PUBLIC)
    for damaged in (b"", b"{}", b"[]", proof[:-20]):
        with pytest.raises(Invalid, match="cannot be read"):
            check_proof(damaged, PUBLIC)
    with pytest.raises(Invalid, match="99 is not under"):
        prove(tree, Entry(99, "events.x", b""), checkpoint)
    with pytest.raises(Invalid, match="not what the checkpoint says"):
        prove(Tree(leaf(entry) for entry in changed(LOG, 5)), LOG[22], checkpoint)


async def test_a_later_checkpoint_is_proven_to_add_to_an_earlier_one_only() -> None:
    checkpoints, tree = await sealed(LOG), Tree(leaf(entry) for entry in LOG)
    earlier, later = checkpoints[1], checkpoints[4]
    proof = prove_growth(tree, earlier, later)
    assert check_growth(proof, PUBLIC) == (earlier, later)
    with pytest.raises(Invalid, match="not signed"):
        check_growth(proof, trust(OTHER.public_key()))
    rewritten = Tree(leaf(entry) for entry in changed(LOG, 5))
    with pytest.raises(Invalid, match="not what both"):
        prove_growth(rewritten, earlier, later)
    # Whoever has the key and rewrites the log cannot prove that it begins as it did before.
    other = CompactRange(leaf(entry) for entry in changed(LOG, 5)[:50])
    forged = {**orjson.loads(proof), "later": seal(other, 50, KEY, T0).model_dump(mode="json")}
    with pytest.raises(Invalid, match="does not extend"):
        check_growth(orjson.dumps(forged), PUBLIC)
    with pytest.raises(Invalid, match="cannot be read"):
        check_growth(prove(tree, LOG[3], later), PUBLIC)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (changed, [(23, "changed")]),
        (renamed, [(23, "changed")]),
        (closed_up, [(23, "dropped")]),
        (inserted, [(23, "forged: it was not there")]),
        (swapped, [(23, "changed"), (24, "changed")]),
        (reordered, [(24, "moved: it stands at 23")]),
    ],
)
def test_with_the_digests_each_message_is_named(
    tamper: Tamper, named: list[tuple[int, str]]
) -> None:
    digests = [content(entry.subject, entry.body) for entry in LOG]
    later = [*tamper(LOG, 23), Entry(0, "events.service.0", b"written since")]
    found = differences(digests, [content(entry.subject, entry.body) for entry in later])
    assert [(fault.position, fault.what) for fault in found] == named
    assert all(fault == Fault(fault.position - 1, fault.position, fault.what) for fault in found)
    assert differences(digests, [*digests, b"new"]) == ()


def test_several_faults_are_told_apart() -> None:
    tampered = closed_up(changed(inserted(LOG, 50), 40), 9)
    digests = [content(entry.subject, entry.body) for entry in LOG]
    found = differences(digests, [content(entry.subject, entry.body) for entry in tampered])
    told = [(9, "dropped"), (40, "changed"), (49, "forged: it was not there")]
    assert [(fault.position, fault.what) for fault in found] == told


async def test_the_real_log_is_sealed_and_verified(log: JetStreamLog) -> None:
    for n in range(30):
        await log.append([Write(degraded("a", f"{n}"))], meta=meta(f"{n}"))
    await log.submit(b"\x00anything")
    tree, last = CompactRange(), await log.last_position()
    async with aclosing(entries(log.nc, to=last)) as found:
        assert await grow(tree, found) == last
    checkpoint = seal(tree, last, KEY, T0)
    (position,) = await log.append([Write(checkpoint)], meta=meta("seal"))
    async with aclosing(entries(log.nc, to=position)) as found:
        verdict = await verify(found, [checkpoint], PUBLIC)
    assert verdict == Verdict(messages=32, checkpoints=1, sealed=31, faults=())
