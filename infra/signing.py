"""Ed25519 signatures over DSSE envelopes: who vouches for what was built.

Keys        ``<data dir>/keys/build.ed25519`` (PKCS 8 PEM, 0600) and ``build.pub`` (PEM); others by
            other names. Only the signing process reads a private key; none enters a sandbox.
Format      DSSE 1.0: the signature is over PAE(payload type, payload), so that a payload cannot be
            taken for one of another type.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from domain.canonical import canonical
from domain.errors import PhoenixError

STATEMENT = "application/vnd.in-toto+json"
BUILD = "build"


class Unverified(PhoenixError):
    """A signature, a digest or the claim behind it does not hold: nothing of it may run."""


@dataclass(frozen=True, slots=True)
class Keys:
    """``private`` is None where only verification is possible."""

    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None = None

    @property
    def key_id(self) -> str:
        return key_id(self.public)


def key_id(public: Ed25519PublicKey) -> str:
    """Return the hex SHA-256 of the raw public key."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def ensure_keys(data_dir: Path | str, name: str = BUILD) -> Keys:
    """Return this installation's keys for one purpose, made on the first call.

    Several processes may call it at once: the first to link its file in place wins.
    """
    folder = Path(data_dir) / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.ed25519"
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        _place(path, pem, mode=0o600)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise Unverified(f"{path} is not an Ed25519 key")
    public = private.public_key()
    if not (folder / f"{name}.pub").exists():
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _place(folder / f"{name}.pub", pem, mode=0o644)
    return Keys(public, private)


def public_key(data_dir: Path | str, name: str = BUILD) -> Ed25519PublicKey:
    """Return the key that verifies what this installation has signed (default: its builds).

    Raises:
        Unverified: there is none yet, or it is not an Ed25519 key.
    """
    return read_public(Path(data_dir) / "keys" / f"{name}.pub")


def read_public(path: Path) -> Ed25519PublicKey:
    """Return the public key in a PEM file.

    Raises:
        Unverified: it cannot be read, or is not an Ed25519 key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unverified(f"{path}: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unverified(f"{path} is not an Ed25519 key")
    return key


def sign(statement: Mapping[str, Any], keys: Keys, *, payload_type: str = STATEMENT) -> bytes:
    """Return the DSSE envelope of a statement as JSON: the same statement, the same bytes."""
    if keys.private is None:
        raise Unverified("there is no private key to sign with")
    payload = canonical(statement)
    signature = keys.private.sign(_pae(payload_type, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": keys.key_id, "sig": base64.b64encode(signature).decode()}],
    }
    return canonical(envelope)


def verify(
    envelope: bytes, public: Ed25519PublicKey, *, payload_type: str = STATEMENT
) -> dict[str, Any]:
    """Return the statement inside an envelope that this key has signed.

    Raises:
        Unverified: no envelope, another type, or no signature of this key that holds.
    """
    try:
        outer = json.loads(envelope)
        payload = base64.b64decode(outer["payload"], validate=True)
        signatures = [base64.b64decode(s["sig"], validate=True) for s in outer["signatures"]]
        given_type = outer["payloadType"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unverified(f"not a DSSE envelope: {error!r}") from error
    if given_type != payload_type:
        raise Unverified(f"the payload is {given_type!r}, not {payload_type!r}")
    pae = _pae(payload_type, payload)
    if not any(_holds(public, signature, pae) for signature in signatures[:10]):
        raise Unverified(f"no signature of the key {key_id(public)} holds")
    statement = json.loads(payload)
    if not isinstance(statement, dict):
        raise Unverified("the signed payload is not a statement")
    return statement


def _holds(public: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _pae(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _place(path: Path, data: bytes, *, mode: int) -> None:
    """Write whole and only if nobody was first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
