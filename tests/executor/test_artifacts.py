"""What is delivered: reproducible wheels, signed provenance, and installs that trust nothing."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_events import DeploymentStarted
from domain.errors import NotFound, PoisonError
from infra.artifacts import install
from infra.packaging import Origin, Wheel, build_sbom, build_wheel, provenance
from infra.signing import Keys, Unverified, ensure_keys, public_key, sign, verify

T0 = datetime(2030, 1, 1, tzinfo=UTC)
PYPROJECT = """
[project]
name = "parking-lots"
version = "1.0.0"
description = "Where cars stand"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["litestar>=2", "pydantic>=2", "not-installed-anywhere>=1"]

[project.entry-points."phoenix.services"]
parking-lots = "parking_lots.service:create"

[tool.hatch.build.targets.wheel]
packages = ["parking_lots"]
"""
TREE = {
    "pyproject.toml": PYPROJECT.encode(),
    "README.md": b"# Parking lots\n",
    "parking_lots/__init__.py": b'__version__ = "1.0.0"\n',
    "parking_lots/service.py": b"def create(ctx):\n    return ctx\n",
    "tests/test_it.py": b"def test_it(): pass\n",
}


@dataclass
class Blobs:
    """Objects in memory; what was put can be changed behind its back."""

    held: dict[str, bytes] = field(default_factory=dict)

    async def put(self, data: bytes, *, description: str = "") -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.held[digest] = data
        return digest

    async def get(self, digest: str) -> bytes:
        if digest not in self.held:
            raise NotFound(digest)
        if hashlib.sha256(self.held[digest]).hexdigest() != digest:
            raise PoisonError(digest)
        return self.held[digest]


def origin(**changes: Any) -> Origin:
    facts: dict[str, Any] = {
        "build_id": "b",
        "intent_id": "i",
        "service_name": "parking-lots",
        "version": "1.0.0",
        "spec_digest": "01",
        "tree_digest": "02",
        "generator_version": "1.0.0",
        "templates_digest": "03",
        "decision_digest": "04",
        "approval_digests": ("05",),
        "sandbox": "bubblewrap",
        "sbom_digest": "06",
        "epoch": 1,
        "started_at": T0,
        "finished_at": T0,
    }
    return Origin(**facts | changes)


async def delivered(blobs: Blobs, keys: Keys, wheel: Wheel, **changes: Any) -> DeploymentStarted:
    envelope = sign(provenance(wheel, origin(**changes)), keys)
    return DeploymentStarted(
        at=T0,
        service_name="parking-lots",
        version="1.0.0",
        artifact_digest=await blobs.put(wheel.data),
        provenance_digest=await blobs.put(envelope),
        wheel=wheel.name,
        port=8300,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return ensure_keys(tmp_path / "data")


def test_the_same_tree_gives_the_same_wheel_in_any_order() -> None:
    backwards = dict(reversed(TREE.items()))
    assert build_wheel(TREE).data == build_wheel(backwards).data
    changed = build_wheel({**TREE, "parking_lots/service.py": b"x = 1\n"})
    assert build_wheel(TREE).digest != changed.digest


def test_a_wheel_holds_the_package_and_its_entry_point_but_no_tests() -> None:
    wheel = build_wheel(TREE)
    assert wheel.name == "parking_lots-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        names = archive.namelist()
        entry_points = archive.read("parking_lots-1.0.0.dist-info/entry_points.txt").decode()
        record = archive.read("parking_lots-1.0.0.dist-info/RECORD").decode()
    assert "parking_lots/service.py" in names
    assert not [name for name in names if name.startswith("tests/")]
    assert "[phoenix.services]\nparking-lots = parking_lots.service:create" in entry_points
    assert len(record.splitlines()) == len(names)


def test_pip_accepts_the_wheel(tmp_path: Path) -> None:
    wheel = build_wheel(TREE)
    (tmp_path / wheel.name).write_bytes(wheel.data)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(tmp_path / "site")]
    done = subprocess.run(
        [*command, str(tmp_path / wheel.name)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "parking_lots" / "service.py").is_file()


def test_the_bill_of_materials_is_cyclonedx_and_names_what_runs() -> None:
    wheel = build_wheel(TREE)
    first = build_sbom(TREE, wheel)
    assert first == build_sbom(TREE, wheel)
    document = json.loads(first)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    names = {component["name"] for component in document["components"]}
    assert {"litestar", "pydantic", "pydantic-core"} <= names
    assert "not-installed-anywhere" not in names
    assert document["metadata"]["component"]["hashes"][0]["content"] == wheel.digest


def test_keys_are_made_once_and_the_private_one_is_private(tmp_path: Path) -> None:
    first, second = ensure_keys(tmp_path), ensure_keys(tmp_path)
    assert first.key_id == second.key_id
    assert (tmp_path / "keys" / "build.ed25519").stat().st_mode & 0o777 == 0o600
    statement = {"a": [1, "b"]}
    assert verify(sign(statement, first), public_key(tmp_path)) == statement


def test_a_changed_statement_another_key_or_another_type_is_refused(
    tmp_path: Path, keys: Keys
) -> None:
    import base64

    envelope = json.loads(sign({"a": 1}, keys))
    payload = base64.b64encode(b'{"a":2}').decode()
    with pytest.raises(Unverified, match="no signature"):
        verify(json.dumps({**envelope, "payload": payload}).encode(), keys.public)
    with pytest.raises(Unverified, match="no signature"):
        verify(json.dumps(envelope).encode(), ensure_keys(tmp_path / "other").public)
    with pytest.raises(Unverified, match="payload is"):
        verify(sign({"a": 1}, keys, payload_type="text/plain"), keys.public)
    with pytest.raises(Unverified, match="not a DSSE"):
        verify(b"{}", keys.public)


def test_other_people_can_verify_the_envelope_with_securesystemslib(keys: Keys) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    envelope = Envelope.from_dict(json.loads(sign({"a": 1}, keys)))
    key = SSlibKey.from_crypto(keys.public, keyid=keys.key_id)
    assert set(envelope.verify([key], 1)) == {keys.key_id}


async def test_an_artifact_is_unpacked_once_and_repaired_when_changed(
    tmp_path: Path, keys: Keys
) -> None:
    blobs = Blobs()
    started = await delivered(blobs, keys, build_wheel(TREE))
    folder = await install(blobs, started, tmp_path / "run", keys.public)
    assert folder == tmp_path / "run" / "parking-lots" / "1.0.0"
    file = folder / "parking_lots" / "service.py"
    before = file.stat().st_ino
    assert await install(blobs, started, tmp_path / "run", keys.public) == folder
    assert file.stat().st_ino == before
    file.write_text("import os  # somebody was here\n")
    await install(blobs, started, tmp_path / "run", keys.public)
    assert file.read_bytes() == TREE["parking_lots/service.py"]
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]


async def test_what_is_not_vouched_for_is_never_unpacked(tmp_path: Path, keys: Keys) -> None:
    blobs, target = Blobs(), tmp_path / "run"
    wheel = build_wheel(TREE)
    good = await delivered(blobs, keys, wheel)
    foreign = await delivered(blobs, ensure_keys(tmp_path / "other"), wheel)
    other = build_wheel({**TREE, "parking_lots/evil.py": b"1\n"})
    swapped = good.model_copy(update={"artifact_digest": await blobs.put(other.data)})
    renamed = await delivered(blobs, keys, wheel, service_name="governance")
    outside = good.model_copy(update={"version": "../../1.0.0"})
    for started in (foreign, swapped, renamed, outside):
        with pytest.raises(Unverified):
            await install(blobs, started, target, keys.public)
    blobs.held[good.artifact_digest] += b"damaged"
    with pytest.raises(PoisonError):
        await install(blobs, good, target, keys.public)
    assert not target.exists()


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "a/../../evil.py", "a\\evil.py"])
async def test_no_path_leads_out_of_the_folder(tmp_path: Path, keys: Keys, name: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, b"1")
    blobs = Blobs()
    started = await delivered(blobs, keys, Wheel("evil.whl", target.getvalue()))
    with pytest.raises(Unverified, match="leads out"):
        await install(blobs, started, tmp_path / "run", keys.public)


async def test_a_link_inside_the_archive_is_refused(tmp_path: Path, keys: Keys) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    blobs = Blobs()
    started = await delivered(blobs, keys, Wheel("evil.whl", target.getvalue()))
    with pytest.raises(Unverified, match="plain file"):
        await install(blobs, started, tmp_path / "run", keys.public)
