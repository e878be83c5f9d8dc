"""The checkpoints that are kept outside the server, and the keys whose signatures count.

Files       ``<data dir>/checkpoints/<position>.json``, one a checkpoint, written once;
            ``contents.bin``: the digest of every sealed message, 32 bytes each, in order.
            ``<data dir>/keys/log.ed25519`` and ``log.pub``; ``log-*.pub`` are trusted, too.
Durable     digests first, then the checkpoint, each flushed to the disk: a checkpoint that is there
            has its digests.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from domain.audit import LogSealed
from domain.errors import Invalid
from domain.merkle import CompactRange
from infra.audit import Trusted, leaf_at, trust
from infra.signing import Unverified, public_key, read_public

LOG_KEY = "log"
_DIGEST_BYTES = 32


def trusted_keys(data_dir: Path) -> Trusted:
    """The keys that may have signed this installation's checkpoints; its own comes first.

    Raises:
        Unverified: there is no key, or a file is not one.
    """
    former = sorted((data_dir / "keys").glob(f"{LOG_KEY}-*.pub"))
    return trust(public_key(data_dir, LOG_KEY), *(read_public(path) for path in former))


def keys_from(paths: Iterable[Path]) -> Trusted:
    """The keys in files that somebody was given.

    Raises:
        Invalid: one is not an Ed25519 public key.
    """
    try:
        return trust(*(read_public(path) for path in paths))
    except Unverified as error:
        raise Invalid("key", str(error)) from error


class Checkpoints:
    """The checkpoints under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents = folder / "contents.bin"

    def read(self) -> tuple[list[LogSealed], list[Path]]:
        """Return what was sealed, by position, and the files that cannot be read."""
        found, damaged = [], []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(LogSealed.model_validate_json(path.read_bytes()))
            except (OSError, ValueError):
                damaged.append(path)
        return sorted(found, key=lambda c: c.position), damaged

    def digests(self, checkpoint: LogSealed) -> list[bytes]:
        """The contents under a checkpoint by position; empty if they are not what it says."""
        try:
            data = self._contents.read_bytes()
        except OSError:
            return []
        size = checkpoint.tree_size
        if size != checkpoint.position or len(data) < size * _DIGEST_BYTES:
            return []
        found = [data[i : i + _DIGEST_BYTES] for i in range(0, size * _DIGEST_BYTES, _DIGEST_BYTES)]
        return found if tree_over(found).root().hex() == checkpoint.root else []

    def add(self, checkpoint: LogSealed, digests: Sequence[bytes]) -> None:
        """Keep a checkpoint with the digests since the one before (or of all from the first on)."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = checkpoint.tree_size - len(digests)
        with open(self._contents, "ab") as file:
            file.truncate(known * _DIGEST_BYTES)  # what a seal that came to nothing has left
            file.write(b"".join(digests))
            file.flush()
            os.fsync(file.fileno())
        path = self._folder / f"{checkpoint.position:015}.json"
        draft = path.with_suffix(".draft")
        with open(draft, "wb") as file:
            file.write(checkpoint.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _flush_folder(self._folder)


def tree_over(digests: Sequence[bytes]) -> CompactRange:
    """The tree over contents that stand at the positions from 1 on."""
    return CompactRange(leaf_at(place, digest) for place, digest in enumerate(digests, 1))


def _flush_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
