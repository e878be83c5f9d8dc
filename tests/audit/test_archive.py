"""An archive carries the log to another place: checked offline, put back byte for byte."""

import gzip
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import orjson
import pytest

from domain.errors import Invalid
from infra.audit import trust
from infra.audit_archive import check, export, put_back
from infra.audit_check import check_archive
from infra.audit_store import keys_from, trusted_keys
from infra.codec import decode
from infra.nats import api, setup
from infra.nats.connection import Connection
from infra.nats.entries import messages
from infra.signing import ensure_keys
from tests.audit.world import World

Edit = Callable[[list[bytes]], list[bytes]]
HEAD = 4  # lines before the first message: the format and three checkpoints


async def exported(world: World, path: Path) -> Path:
    end = await world.log.last_position()
    kept, _ = world.store.read()
    async with aclosing(messages(world.log.nc, to=end)) as found:
        assert await export(path, found, kept, trusted_keys(world.data_dir)) == end
    return path


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def unpacked(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def write(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


@pytest.fixture
async def archive(world: World, tmp_path: Path) -> Path:
    await world.sealed_in_parts(2, 5)
    await world.log.submit(b"\x00\xff not text")
    await world.log.submit(b'{"a": 1}', message_id="one")
    await world.sealer().now()
    return await exported(world, tmp_path / "log.ndjson")


async def test_an_archive_is_checked_with_nothing_but_the_public_key(
    world: World, archive: Path, tmp_path: Path
) -> None:
    verdict = check_archive(archive, keys_from([world.key]))
    assert verdict.holds
    assert (verdict.messages, verdict.checkpoints, verdict.sealed) == (15, 3, 14)
    other = ensure_keys(tmp_path / "other", "log").public
    assert not check_archive(archive, trust(other)).holds
    packed = await exported(world, tmp_path / "log.ndjson.gz")
    assert unpacked(packed) == lines_of(archive)
    assert check_archive(packed, keys_from([world.key])) == verdict
    with pytest.raises(Invalid, match="exists"):
        await exported(world, archive)


def changed(lines: list[bytes]) -> list[bytes]:
    record = orjson.loads(lines[HEAD + 7])
    record["text"] += " "
    return [*lines[: HEAD + 7], orjson.dumps(record) + b"\n", *lines[HEAD + 8 :]]


def dropped(lines: list[bytes]) -> list[bytes]:
    return [*lines[: HEAD + 7], *lines[HEAD + 8 :]]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[: HEAD + 7], lines[HEAD + 8], lines[HEAD + 7], *lines[HEAD + 9 :]]


def cut(lines: list[bytes]) -> list[bytes]:
    return lines[: HEAD + 7]


def without_checkpoints(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b'"checkpoint"' not in line]


def forged_proof(lines: list[bytes]) -> list[bytes]:
    at = next(n for n, line in enumerate(lines) if line.startswith(b'{"growth"'))
    record = orjson.loads(lines[at])
    record["growth"]["path"] = record["growth"]["path"][:-1]
    return [*lines[:at], orjson.dumps(record) + b"\n", *lines[at + 1 :]]


@pytest.mark.parametrize(
    ("edit", "position", "what"),
    [
        (changed, 11, "changed, moved"),
        (dropped, 8, "missing"),
        (swapped, 8, "missing"),
        (cut, 11, "the end is missing"),
        (without_checkpoints, 15, "nothing is sealed"),
        (forged_proof, 14, "does not extend"),
    ],
)
async def test_an_edited_archive_is_found_out(
    world: World, archive: Path, edit: Edit, position: int, what: str
) -> None:
    lines = lines_of(archive)
    write(archive, edit(lines))
    verdict = check_archive(archive, keys_from([world.key]))
    assert verdict.faults[0].position == position
    assert what in verdict.faults[0].what


async def test_the_copy_of_the_checkpoints_names_the_edited_message(
    world: World, archive: Path
) -> None:
    lines = lines_of(archive)
    write(archive, changed(lines))
    verdict = check_archive(archive, keys_from([world.key]), world.store)
    assert (verdict.faults[0].position, verdict.faults[0].what) == (8, "changed")


@pytest.mark.parametrize("text", [b"", b"[]\n", b'{"a":1}\n', b"{", b'{"format":"other"}\n'])
async def test_what_is_no_archive_is_refused(world: World, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "no.ndjson"
    path.write_bytes(text)
    ensure_keys(world.data_dir, "log")
    if text:
        with pytest.raises(Invalid, match="archive"):
            check(path, keys_from([world.key]))
    else:
        assert not check(path, keys_from([world.key])).verdict.holds


async def test_an_archive_is_put_back_with_the_same_positions_and_bytes(
    world: World, archive: Path, owner: Connection
) -> None:
    before = await world.stored()
    with pytest.raises(Invalid, match="not empty"):
        await put_back(owner, archive)
    await api.call(owner, f"STREAM.DELETE.{setup.EVENTS}")
    assert await put_back(owner, archive) == before[-1].position
    assert await world.stored() == before
    last = await world.log.stream.at(14)
    assert last is not None
    assert (
        decode(last.subject, last.data, position=14, time=last.time, headers=last.headers).id
        == "one"
    )
    config = (await api.call(owner, f"STREAM.INFO.{setup.EVENTS}"))["config"]
    assert config["duplicate_window"] == setup.DUPLICATES_S * 10**9
    await world.write(1)
    assert (await world.sealer().now()).position == before[-1].position + 1


async def test_an_id_that_came_twice_in_the_log_comes_twice_again(
    world: World, archive: Path, owner: Connection
) -> None:
    lines = lines_of(archive)
    twice = orjson.loads(lines[HEAD + 13])
    assert twice["headers"]["Nats-Msg-Id"] == "one"
    end = next(n for n, line in enumerate(lines) if line.startswith(b'{"growth"'))
    more = [orjson.dumps({**twice, "position": 16 + n}) + b"\n" for n in range(2)]
    write(archive, [*lines[:end], *more])
    await api.call(owner, f"STREAM.DELETE.{setup.EVENTS}")
    assert await put_back(owner, archive) == 17
    assert [entry.body for entry in (await world.stored())[-2:]] == [b'{"a": 1}'] * 2
