"""Signed checkpoints over the whole log, and the check that the log still is what they say.

Leaf        position, subject and body of one stored message, so that a changed, dropped, moved or
            forged one changes the tree.
Checkpoint  ``LogSealed``: Ed25519 over the text of ``checkpoint_text``. Kept in the log *and*
            elsewhere: who can rewrite the log cannot rewrite a copy that is not in it.
Located     positions have no gaps, so a missing message is named exactly; a changed one lies
            between the last checkpoint that holds and the first that does not.
"""

import base64
import hashlib
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.audit import LogSealed
from domain.errors import Invalid
from domain.merkle import CompactRange, included, inclusion_proof, leaf_hash


class Entry(NamedTuple):
    """A stored message as the tree sees it."""

    position: int
    subject: str
    body: bytes


@dataclass(frozen=True)
class Fault:
    """Something is not as it was sealed: at a position, or after ``after`` up to ``position``."""

    after: int
    position: int
    what: str


@dataclass(frozen=True)
class Verdict:
    """``faults`` is empty when everything up to ``sealed`` is what the checkpoints say."""

    messages: int
    checkpoints: int
    sealed: int  # position of the newest checkpoint that holds
    faults: tuple[Fault, ...]

    @property
    def holds(self) -> bool:
        return not self.faults


def leaf(entry: Entry) -> bytes:
    """The leaf hash of one message; lengths keep subject and body apart."""
    subject = entry.subject.encode()
    head = entry.position.to_bytes(8, "big") + len(subject).to_bytes(4, "big")
    return leaf_hash(head + subject + entry.body)


def key_id(public: Ed25519PublicKey) -> str:
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def checkpoint_text(position: int, size: int, root: str) -> bytes:
    """What is signed."""
    return f"phoenix log checkpoint v1\n{position}\n{size}\n{root}\n".encode()


def seal(tree: CompactRange, position: int, key: Ed25519PrivateKey, at: datetime) -> LogSealed:
    """Return the signed checkpoint of everything up to ``position``."""
    root = tree.root().hex()
    signature = key.sign(checkpoint_text(position, tree.size, root))
    return LogSealed(
        at=at,
        position=position,
        tree_size=tree.size,
        root=root,
        key_id=key_id(key.public_key()),
        signature=base64.b64encode(signature).decode(),
    )


def signed(checkpoint: LogSealed, public: Ed25519PublicKey) -> bool:
    """Whether this key signed exactly this checkpoint."""
    text = checkpoint_text(checkpoint.position, checkpoint.tree_size, checkpoint.root)
    try:
        public.verify(base64.b64decode(checkpoint.signature, validate=True), text)
    except (InvalidSignature, ValueError):
        return False
    return checkpoint.key_id == key_id(public)


async def grow(tree: CompactRange, entries: AsyncIterable[Entry]) -> int:
    """Add the entries to the tree and return the last position (0 without any)."""
    position = 0
    async for entry in entries:
        tree.append(leaf(entry))
        position = entry.position
    return position


async def verify(
    entries: AsyncIterable[Entry], checkpoints: Sequence[LogSealed], public: Ed25519PublicKey
) -> Verdict:
    """Compare the log, from its first message on, with checkpoints in order of position.

    Checkpoints from a copy kept elsewhere prove the most; those found in the log itself show
    damage, but not a rewrite by somebody who also holds the key.
    """
    due = sorted(checkpoints, key=lambda checkpoint: checkpoint.position)
    faults = [
        Fault(c.position, c.position, "the signature does not fit this checkpoint")
        for c in due
        if not signed(c, public)
    ]
    walk = _Walk([c for c in due if signed(c, public)], faults)
    async for entry in entries:
        walk.take(entry)
    return walk.end(len(due))


class _Walk:
    """One pass over the log: gaps, order, and each checkpoint as its position is reached."""

    def __init__(self, due: list[LogSealed], faults: list[Fault]) -> None:
        self._due = due
        self._faults = faults
        self._tree = CompactRange()
        self._at = 0
        self._good = 0
        self._messages = 0

    def take(self, entry: Entry) -> None:
        if entry.position <= self._at:
            self._faults.append(Fault(self._at, entry.position, "out of order or twice"))
            return
        if entry.position > self._at + 1:
            self._faults.append(Fault(self._at, entry.position - 1, "missing"))
            self._reach(entry.position - 1)
        self._tree.append(leaf(entry))
        self._messages += 1
        self._at = entry.position
        self._reach(entry.position)

    def _reach(self, position: int) -> None:
        while self._due and self._due[0].position <= position:
            checkpoint = self._due.pop(0)
            same = (self._tree.size, self._tree.root().hex())
            if same == (checkpoint.tree_size, checkpoint.root):
                self._good = checkpoint.position
            else:
                what = "changed, moved, dropped or forged"
                self._faults.append(Fault(self._good, checkpoint.position, what))

    def end(self, checkpoints: int) -> Verdict:
        for checkpoint in self._due:
            self._faults.append(Fault(self._good, checkpoint.position, "the end is missing"))
        return Verdict(self._messages, checkpoints, self._good, tuple(self._faults))


async def prove(entries: AsyncIterable[Entry], position: int, checkpoint: LogSealed) -> bytes:
    """Return a file that proves one message's place under a checkpoint; needs no log to check.

    Raises:
        Invalid: the message is not there, or was written after the checkpoint.
    """
    leaves: list[bytes] = []
    found: tuple[int, Entry] | None = None
    async for entry in entries:
        if entry.position > checkpoint.position:
            break
        if entry.position == position:
            found = len(leaves), entry
        leaves.append(leaf(entry))
    if found is None:
        raise Invalid("position", f"no message {position} up to {checkpoint.position}")
    index, entry = found
    return orjson.dumps(
        {
            "format": "phoenix-inclusion-proof-v1",
            "position": entry.position,
            "subject": entry.subject,
            "body": base64.b64encode(entry.body).decode(),
            "index": index,
            "path": [step.hex() for step in inclusion_proof(leaves, index)],
            "checkpoint": checkpoint.model_dump(mode="json"),
        },
        option=orjson.OPT_INDENT_2,
    )


def check_proof(proof: bytes, public: Ed25519PublicKey) -> Entry:
    """Return the message that a proof file proves.

    Raises:
        Invalid: the file is damaged, not signed by this key, or proves nothing.
    """
    try:
        given = orjson.loads(proof)
        checkpoint = LogSealed.model_validate(given["checkpoint"])
        entry = Entry(given["position"], given["subject"], base64.b64decode(given["body"]))
        path = [bytes.fromhex(step) for step in given["path"]]
        index = int(given["index"])
        root = bytes.fromhex(checkpoint.root)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid("proof", f"cannot be read: {error}") from error
    if not signed(checkpoint, public):
        raise Invalid("proof", "the checkpoint is not signed by this key")
    if not included(leaf(entry), index, checkpoint.tree_size, path, root):
        raise Invalid("proof", "the message is not part of the sealed log")
    return entry
