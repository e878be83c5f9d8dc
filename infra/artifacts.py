"""Installs a built service for running: nothing of it is unpacked before it is verified.

Layout      ``<target>/<service>/<version>/`` holds the wheel's content (put it on ``sys.path``),
            ``.artifact`` names the digest that it came from. Every call compares it byte for byte.
"""

import asyncio
import os
import shutil
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.delivery_events import DeploymentStarted
from infra.packaging import PREDICATE_TYPE
from infra.ports import ObjectStore
from infra.signing import Unverified, verify

MARK = ".artifact"
UNPACKED_BYTES_MAX = 256 * 2**20
FILES_MAX = 10_000


async def install(
    objects: ObjectStore,
    started: DeploymentStarted,
    target_dir: Path,
    public_key: Ed25519PublicKey,
) -> Path:
    """Return the folder with the verified, unpacked artifact; a second call finds the first's.

    Raises:
        Unverified: digest, signature or claim does not hold, or the archive is not a safe one.
        NotFound, PoisonError, TransientError: as ``ObjectStore.get``.
    """
    folder = Path(target_dir) / _safe(started.service_name) / _safe(started.version)
    envelope = await objects.get(started.provenance_digest)
    _vouched(verify(envelope, public_key), started)
    data = await objects.get(started.artifact_digest)  # verified against its digest
    await asyncio.to_thread(_unpack, data, folder, started.artifact_digest)
    return folder


def _vouched(statement: dict[str, Any], started: DeploymentStarted) -> None:
    """The signed statement must be about this artifact of this service in this version."""
    try:
        if statement["predicateType"] != PREDICATE_TYPE:
            raise Unverified(f"{statement['predicateType']!r} is not provenance")
        digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
        about = statement["predicate"]["buildDefinition"]["externalParameters"]
        claimed = (about["service"], about["version"])
    except (KeyError, TypeError) as error:
        raise Unverified(f"the provenance lacks {error}") from error
    if started.artifact_digest not in digests:
        raise Unverified("the provenance is about another artifact")
    if claimed != (started.service_name, started.version):
        raise Unverified(f"the provenance is about {claimed[0]} {claimed[1]}")


def _unpack(data: bytes, folder: Path, digest: str) -> None:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            content = {m.filename: archive.read(m) for m in _checked(archive)}
    except (zipfile.BadZipFile, EOFError) as error:
        raise Unverified(f"the artifact is no wheel: {error}") from error
    content[MARK] = digest.encode()
    if not _holds(folder, content):
        _place(folder, content)


def _holds(folder: Path, content: Mapping[str, bytes]) -> bool:
    """Whether the folder has these files, byte for byte: a changed file is not run."""
    try:
        return all((folder / name).read_bytes() == data for name, data in content.items())
    except OSError:
        return False


def _place(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write beside the target and move it into place whole, so that nobody sees a half."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        for name, data in content.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        draft.chmod(0o755)
        _swap(draft, folder, content)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > FILES_MAX or sum(m.file_size for m in members) > UNPACKED_BYTES_MAX:
        raise Unverified("the artifact is larger than a service may be")
    for member in members:
        path = PurePosixPath(member.filename)
        kind = member.external_attr >> 28
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise Unverified(f"{member.filename!r} leads out of its folder")
        if kind not in (0, 0o10):  # not stated, or a regular file
            raise Unverified(f"{member.filename!r} is not a plain file")
    return members


def _swap(draft: Path, folder: Path, content: Mapping[str, bytes]) -> None:
    try:
        os.rename(draft, folder)
    except OSError:
        if _holds(folder, content):
            return  # another process was first
        old = Path(mkdtemp(prefix=".replaced-", dir=folder.parent))
        os.rename(folder, old / "content")
        os.rename(draft, folder)
        shutil.rmtree(old, ignore_errors=True)


def _safe(part: str) -> str:
    if not part or part != Path(part).name or part.startswith("."):
        raise Unverified(f"{part!r} cannot name a folder")
    return part
