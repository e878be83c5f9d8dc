"""Signed checkpoints over the whole log, and the check that the log still is what they say.

Leaf        position and digest of subject and body of one stored message, so that a changed,
            dropped, moved or forged one changes the tree.
Checkpoint  ``LogSealed``: Ed25519 over the text of ``checkpoint_text``. Kept in the log *and*
            elsewhere: who can rewrite the log cannot rewrite a copy that is not in it.
Located     positions have no gaps, so a missing message is named exactly; another fault lies
            between the last checkpoint that holds and the first that does not. Whoever kept the
            digests of the messages, too (``infra.audit_diff``), is told which ones.
"""

import base64
import hashlib
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.audit import LogSealed
from domain.merkle import CompactRange, leaf_hash

SEALS = "events.audit.log"

Trusted = Mapping[str, Ed25519PublicKey]  # by key id


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


def content(subject: str, body: bytes) -> bytes:
    """The digest of a message without its place; the length keeps subject and body apart."""
    name = subject.encode()
    return hashlib.sha256(len(name).to_bytes(4, "big") + name + body).digest()


def leaf_at(position: int, digest: bytes) -> bytes:
    """The leaf hash of the message with this content at this position."""
    return leaf_hash(position.to_bytes(8, "big") + digest)


def leaf(entry: Entry) -> bytes:
    """The leaf hash of one message."""
    return leaf_at(entry.position, content(entry.subject, entry.body))


def key_id(public: Ed25519PublicKey) -> str:
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def trust(*keys: Ed25519PublicKey) -> Trusted:
    """The keys whose checkpoints count."""
    return {key_id(key): key for key in keys}


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


def signed(checkpoint: LogSealed, trusted: Trusted) -> bool:
    """Whether one of these keys signed exactly this checkpoint."""
    public = trusted.get(checkpoint.key_id)
    if public is None:
        return False
    text = checkpoint_text(checkpoint.position, checkpoint.tree_size, checkpoint.root)
    try:
        public.verify(base64.b64decode(checkpoint.signature, validate=True), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def once(checkpoints: Sequence[LogSealed]) -> list[LogSealed]:
    """Each different claim once, by position: the same checkpoint is in the log and beside it."""
    distinct = {(c.position, c.tree_size, c.root, c.signature): c for c in checkpoints}
    return sorted(distinct.values(), key=lambda c: c.position)


async def grow(tree: CompactRange, entries: AsyncIterable[Entry]) -> int:
    """Add the entries to the tree and return the last position (0 without any)."""
    position = 0
    async for entry in entries:
        tree.append(leaf(entry))
        position = entry.position
    return position


async def verify(
    entries: AsyncIterable[Entry], checkpoints: Sequence[LogSealed], trusted: Trusted
) -> Verdict:
    """Compare the log, from its first message on, with its checkpoints.

    Checkpoints from a copy kept elsewhere prove the most; those found in the log itself show
    damage, but not a rewrite by somebody who also holds the key.
    """
    walk = Walk(checkpoints, trusted)
    async for entry in entries:
        walk.take(entry)
    return walk.end()


class Walk:
    """One pass over the log: gaps, order, and each checkpoint as its position is reached."""

    def __init__(self, checkpoints: Sequence[LogSealed], trusted: Trusted) -> None:
        claims = once(checkpoints)
        self._due = [c for c in claims if signed(c, trusted)]
        self._claims = len(claims)
        self._faults = [
            Fault(c.position, c.position, "no trusted key has signed this checkpoint")
            for c in claims
            if not signed(c, trusted)
        ]
        self.tree = CompactRange()
        self.position = 0
        self._next = 0
        self._good = 0
        self._messages = 0

    def take(self, entry: Entry) -> bytes:
        """Add a message and return the digest of its content."""
        digest = content(entry.subject, entry.body)
        self.add(entry.position, digest)
        return digest

    def add(self, position: int, digest: bytes) -> None:
        """Add a message by the digest of its content."""
        if position <= self.position:
            self._faults.append(Fault(self.position, position, "out of order or twice"))
            return
        if position > self.position + 1:
            self._faults.append(Fault(self.position, position - 1, "missing"))
            self._reach(position - 1)
        self.tree.append(leaf_at(position, digest))
        self._messages += 1
        self.position = position
        self._reach(position)

    def _reach(self, position: int) -> None:
        while self._next < len(self._due) and self._due[self._next].position <= position:
            checkpoint = self._due[self._next]
            self._next += 1
            same = (self.tree.size, self.tree.root().hex())
            if same == (checkpoint.tree_size, checkpoint.root):
                self._good = checkpoint.position
            else:
                what = "changed, moved, dropped or forged"
                self._faults.append(Fault(self._good, checkpoint.position, what))

    def end(self) -> Verdict:
        """What was found, once every message has been taken."""
        for checkpoint in self._due[self._next :]:
            self._faults.append(Fault(self._good, checkpoint.position, "the end is missing"))
        self._next = len(self._due)
        return Verdict(self._messages, self._claims, self._good, tuple(self._faults))
