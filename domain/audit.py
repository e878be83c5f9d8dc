"""Proof that the log is what it was. Stream ``events.audit.log``."""

from typing import ClassVar, Literal

from domain.event import Event


class LogSealed(Event):
    """A signed checkpoint of the Merkle tree over all messages up to ``position``."""

    context: ClassVar[str] = "audit"
    key: ClassVar[str] = "stream"

    type: Literal["LogSealed.v1"] = "LogSealed.v1"
    stream: Literal["log"] = "log"
    position: int
    tree_size: int
    root: str  # hex SHA-256, RFC 9162
    key_id: str
    signature: str  # base64 Ed25519 over the checkpoint's text
