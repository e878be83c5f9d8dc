"""The whole log in one file that anybody can read, check with the public key, and put back.

Format      NDJSON (gzipped if the name ends in ``.gz``): a head, the checkpoints, every message
            (body as text where it is text), proofs that each checkpoint extends the one before,
            and the end. A message's headers are kept without what only its first append meant.
Import      the same positions and bytes in an empty stream. The server stamps the messages anew:
            for a raw intent, that is its time of arrival; an event carries its own.
"""

import asyncio
import base64
import gzip
from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from domain.audit import LogSealed
from domain.errors import Invalid, LogRefused, TransientError
from domain.merkle import Tree
from infra.audit import Entry, Fault, Trusted, Verdict, Walk, content, leaf_at, signed
from infra.audit_proof import check_growth, prove_growth
from infra.nats import api, setup
from infra.nats.connection import Connection
from infra.nats.reader import Raw, parse_headers
from infra.nats.writer import (
    MESSAGE_ID,
    Ack,
    Message,
    NoAnswer,
    StreamWriter,
    TooLarge,
    header_lines,
)

FORMAT = "phoenix-log-archive-v1"
GROUP_MESSAGES = 500
GROUP_BYTES = 2 * 1024 * 1024
FORGET_S = 0.1  # how long the server remembers message ids during an import: its least
_FIRST_AT = "Nats-Expected-Last-Sequence"


@dataclass(frozen=True, slots=True)
class Checked:
    """What an archive is worth: the verdict, the contents by position, the signed checkpoints."""

    verdict: Verdict
    digests: Sequence[bytes]
    checkpoints: Sequence[LogSealed]


async def export(
    path: Path, messages: AsyncIterable[Raw], checkpoints: Sequence[LogSealed], trusted: Trusted
) -> int:
    """Write the archive and return how many messages it holds.

    Raises:
        Invalid: the file exists, or the log is not what two checkpoints say.
    """
    draft = path.with_name(f".{path.name}")  # its suffix says whether it is compressed
    try:
        with _open(draft, "xb") as file:
            count = await _export(file, messages, checkpoints, trusted)
        _place(draft, path)
    finally:
        _forget(draft)
    return count


async def _export(
    file: IO[bytes],
    messages: AsyncIterable[Raw],
    checkpoints: Sequence[LogSealed],
    trusted: Trusted,
) -> int:
    sealed, tree = [c for c in checkpoints if signed(c, trusted)], Tree()
    _write(file, {"format": FORMAT, "public_keys": [_pem(key) for key in trusted.values()]})
    for checkpoint in sealed:
        _write(file, {"checkpoint": checkpoint.model_dump(mode="json")})
    async for raw in messages:
        _write(file, _message(raw))
        tree.append(leaf_at(raw.position, content(raw.subject, raw.data)))
    for earlier, later in pairwise(sealed):
        if earlier.position < later.position:
            _write(file, {"growth": orjson.loads(prove_growth(tree, earlier, later))})
    _write(file, {"end": len(tree)})
    return len(tree)


def check(path: Path, trusted: Trusted) -> Checked:
    """Compare an archive's messages with its checkpoints; needs nothing but the file and the key.

    Raises:
        Invalid: it is not an archive, or a line of it cannot be read.
    """
    checkpoints: list[LogSealed] = []
    walk: Walk | None = None
    digests: list[bytes] = []
    faults: list[Fault] = []
    end = -1
    for number, record in enumerate(_records(path), 1):
        try:
            match record:
                case {"checkpoint": given} if walk is None:
                    checkpoints.append(LogSealed.model_validate(given))
                case {"position": _, "subject": _}:
                    walk = walk or Walk(checkpoints, trusted)
                    digests.append(walk.take(entry_of(record)))
                case {"growth": given}:
                    check_growth(orjson.dumps(given), trusted)
                case {"end": count}:
                    end = int(count)
                case {"format": _}:
                    pass
                case _:
                    raise ValueError("unknown record")
        except Invalid as error:
            faults.append(Fault(0, checkpoints[-1].position if checkpoints else 0, str(error)))
        except (ValueError, TypeError, KeyError) as error:
            raise Invalid("archive", f"line {number} cannot be read: {error}") from error
    found = (walk or Walk(checkpoints, trusted)).end()
    if end != found.messages:
        last = walk.position if walk else 0
        faults.append(Fault(last, max(last, end), "the end of the file is missing"))
    verdict = Verdict(found.messages, found.checkpoints, found.sealed, (*found.faults, *faults))
    return Checked(verdict, digests, [c for c in checkpoints if signed(c, trusted)])


async def put_back(nc: Connection, path: Path, replicas: int = 1) -> int:
    """Write an archive (checked before) into an empty server; return the last position.

    Raises:
        Invalid: the server's log is not empty, or took a message elsewhere.
    """
    short = {**setup.events_config(replicas), "duplicate_window": int(FORGET_S * 1e9)}
    await setup.ensure_stream(nc, short)
    state = (await api.call(nc, f"STREAM.INFO.{setup.EVENTS}"))["state"]
    if state["last_seq"]:
        await setup.ensure(nc, replicas)
        raise Invalid("log", f"is not empty: it ends at {state['last_seq']}")
    writer = await StreamWriter(nc).start()
    last = 0
    try:
        for group in _groups(path):
            position = int(group[0]["position"])
            ack = await _put(writer, position, [_again(record) for record in group])
            if ack.first != position:
                raise Invalid("log", f"took message {position} at {ack.first}: somebody writes")
            last = ack.last
    finally:
        await writer.close()
    await setup.ensure(nc, replicas)  # the usual memory of message ids
    return last


def entry_of(record: dict[str, Any]) -> Entry:
    """The message in a line of an archive."""
    body = (
        record["text"].encode()
        if "text" in record
        else base64.b64decode(record["base64"], validate=True)
    )
    return Entry(int(record["position"]), str(record["subject"]), body)


async def _put(writer: StreamWriter, position: int, messages: list[Message]) -> Ack:
    at_first = header_lines({_FIRST_AT: str(position - 1)})
    messages[0] = replace(messages[0], headers=messages[0].headers + at_first)
    for _ in range(20):
        try:
            ack = await writer.publish(messages)
            if not ack.duplicate:
                return ack
        except api.Refused as error:
            if error.code != api.DUPLICATE_IN_BATCH:
                raise LogRefused(f"message {position}: {error}") from error
        except TooLarge as error:
            raise LogRefused(str(error)) from error
        except NoAnswer as error:
            raise TransientError(f"message {position}: {error}") from error
        await asyncio.sleep(FORGET_S)  # the same id again, from long after in the log's time
    raise LogRefused(f"message {position}: the server keeps taking it for a repeat")


def _groups(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Messages that fit one atomic batch, no message id twice in one."""
    group: list[dict[str, Any]] = []
    size = 0
    ids: set[str] = set()
    for record in _records(path):
        if "position" not in record:
            continue
        id = record["headers"].get(MESSAGE_ID, "")
        if group and (id in ids or len(group) >= GROUP_MESSAGES or size >= GROUP_BYTES):
            yield group
            group, size, ids = [], 0, set()
        group.append(record)
        size += len(record.get("text") or record["base64"])
        ids |= {id} if id else set()
    if group:
        yield group


def _again(record: dict[str, Any]) -> Message:
    entry = entry_of(record)
    headers = dict(record["headers"])
    id = headers.pop(MESSAGE_ID, "")
    return Message(entry.subject, entry.body, id, headers=header_lines(headers))


def _message(raw: Raw) -> dict[str, Any]:
    headers = parse_headers(raw.headers)
    kept = {n: v for n, v in headers.items() if n == MESSAGE_ID or not n.startswith("Nats-")}
    try:
        body = {"text": raw.data.decode()}
    except UnicodeDecodeError:
        body = {"base64": base64.b64encode(raw.data).decode()}
    return {
        "position": raw.position,
        "subject": raw.subject,
        "time_ns": raw.time_ns,
        "headers": kept,
        **body,
    }


def _records(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with _open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                record = orjson.loads(line)
                _require(isinstance(record, dict), "is not a record")
                _require(number > 1 or record.get("format") == FORMAT, f"is not {FORMAT}")
                yield record
    except (OSError, EOFError, orjson.JSONDecodeError) as error:
        raise Invalid("archive", f"line {number + 1} cannot be read: {error}") from error


def _place(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except OSError as error:
        raise Invalid("archive", f"{path}: {error.strerror}") from error


def _forget(draft: Path) -> None:
    draft.unlink(missing_ok=True)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Invalid("archive", otherwise)


def _open(path: Path, mode: str) -> IO[bytes]:
    try:
        opened = gzip.open(path, mode) if path.suffix == ".gz" else open(path, mode)  # noqa: SIM115
    except OSError as error:
        raise Invalid("archive", f"{path}: {error.strerror}") from error
    return cast(IO[bytes], opened)


def _write(file: IO[bytes], record: dict[str, Any]) -> None:
    file.write(orjson.dumps(record) + b"\n")


def _pem(key: Any) -> str:
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()
