"""Proofs as files: one message under a checkpoint, or a later checkpoint over an earlier one.

Whoever checks one needs the file and the public key, neither the log nor a connection.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson

from domain.audit import LogSealed
from domain.errors import Invalid
from domain.merkle import Tree, consistent, included
from infra.audit import Entry, Trusted, leaf, signed

INCLUSION = "phoenix-inclusion-proof-v1"
CONSISTENCY = "phoenix-consistency-proof-v1"

Parsed = TypeVar("Parsed")


def prove(tree: Tree, entry: Entry, checkpoint: LogSealed) -> bytes:
    """Return a file that proves one message's place under a checkpoint.

    Raises:
        Invalid: the message was written after the checkpoint.
    """
    if not 0 < entry.position <= checkpoint.position:
        raise Invalid("position", f"message {entry.position} is not under {checkpoint.position}")
    index = entry.position - 1  # positions have no gaps; the check below would tell
    path = tree.inclusion(index, checkpoint.tree_size)
    root = bytes.fromhex(checkpoint.root)
    if not included(leaf(entry), index, checkpoint.tree_size, path, root):
        raise Invalid("position", "the log is not what the checkpoint says: verify it")
    return _dump(
        {
            "format": INCLUSION,
            "position": entry.position,
            "subject": entry.subject,
            "body": base64.b64encode(entry.body).decode(),
            "index": index,
            "path": [step.hex() for step in path],
            "checkpoint": checkpoint.model_dump(mode="json"),
        }
    )


def prove_growth(tree: Tree, earlier: LogSealed, later: LogSealed) -> bytes:
    """Return a file that proves that the later checkpoint only adds to the earlier one.

    Raises:
        Invalid: there is no later one, or the log is not what both say.
    """
    if not earlier.position < later.position:
        raise Invalid("position", "the second checkpoint must be later than the first")
    path = tree.consistency(earlier.tree_size, later.tree_size)
    if not _grows(earlier, later, path):
        raise Invalid("position", "the log is not what both checkpoints say: verify it")
    return _dump(
        {
            "format": CONSISTENCY,
            "earlier": earlier.model_dump(mode="json"),
            "later": later.model_dump(mode="json"),
            "path": [step.hex() for step in path],
        }
    )


def check_proof(proof: bytes, trusted: Trusted) -> Entry:
    """Return the message that a proof file proves.

    Raises:
        Invalid: the file is damaged, not signed by a trusted key, or proves nothing.
    """
    checkpoint, entry, index, path = _read(proof, INCLUSION, _inclusion)
    if not signed(checkpoint, trusted):
        raise Invalid("proof", "the checkpoint is not signed by this key")
    root = bytes.fromhex(checkpoint.root)
    if not included(leaf(entry), index, checkpoint.tree_size, path, root):
        raise Invalid("proof", "the message is not part of the sealed log")
    return entry


def check_growth(proof: bytes, trusted: Trusted) -> tuple[LogSealed, LogSealed]:
    """Return the two checkpoints of which a proof file shows that one extends the other.

    Raises:
        Invalid: the file is damaged, not signed by a trusted key, or proves nothing.
    """
    earlier, later, path = _read(proof, CONSISTENCY, _consistency)
    if not (signed(earlier, trusted) and signed(later, trusted)):
        raise Invalid("proof", "a checkpoint is not signed by this key")
    if not _grows(earlier, later, path):
        raise Invalid("proof", "the later checkpoint does not extend the earlier one")
    return earlier, later


def kind(proof: bytes) -> str:
    """The format that a proof file names; "" when it cannot be read."""
    try:
        return str(orjson.loads(proof)["format"])
    except (KeyError, TypeError, ValueError):
        return ""


def _grows(earlier: LogSealed, later: LogSealed, path: list[bytes]) -> bool:
    roots = bytes.fromhex(earlier.root), bytes.fromhex(later.root)
    return consistent(earlier.tree_size, later.tree_size, path, *roots)


def _inclusion(given: Mapping[str, Any]) -> tuple[LogSealed, Entry, int, list[bytes]]:
    body = base64.b64decode(given["body"], validate=True)
    entry = Entry(int(given["position"]), str(given["subject"]), body)
    return _checkpoint(given["checkpoint"]), entry, int(given["index"]), _path(given)


def _consistency(given: Mapping[str, Any]) -> tuple[LogSealed, LogSealed, list[bytes]]:
    return _checkpoint(given["earlier"]), _checkpoint(given["later"]), _path(given)


def _checkpoint(given: object) -> LogSealed:
    checkpoint = LogSealed.model_validate(given)
    bytes.fromhex(checkpoint.root)
    return checkpoint


def _path(given: Mapping[str, Any]) -> list[bytes]:
    return [bytes.fromhex(step) for step in given["path"]]


def _read(proof: bytes, wanted: str, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    try:
        given = orjson.loads(proof)
        if given["format"] != wanted:
            raise ValueError(f"its format is {given['format']!r}, not {wanted!r}")
        return parse(given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid("proof", f"cannot be read: {error}") from error


def _dump(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)
