"""From a source tree to what is delivered: a wheel, its bill of materials and its provenance.

The wheel is written here, by the wheel specification (PyPA, "Binary distribution format" 1.0), and
not by a build backend: a backend would run in an isolated environment (seconds, and a network), and
a generated package is pure Python with static metadata, so that what remains is a zip of files.

Reproducible  the same tree gives the same bytes: sorted names, one time stamp, fixed permissions.
"""

import base64
import csv
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from uuid import UUID, uuid5

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell
_FILE_MODE = 0o100644 << 16
_NAMESPACE = UUID("6a1f8f7e-5f0b-5b7e-9a54-1f7a3b1c2d3e")
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://phoenix-autonomy.dev/build/service/v1"
COMPONENT_BUILD_TYPE = "https://phoenix-autonomy.dev/build/component/v1"


@dataclass(frozen=True, slots=True)
class Wheel:
    name: str  # of the file
    data: bytes

    @property
    def digest(self) -> str:
        """Hex SHA-256."""
        return hashlib.sha256(self.data).hexdigest()


def build_wheel(files: Mapping[str, bytes]) -> Wheel:
    """Return the wheel of a tree with a static ``pyproject.toml``.

    Packaged is what ``tool.hatch.build.targets.wheel.packages`` names: folders and single files.

    Raises:
        KeyError: the project table lacks a name or a version, or no packages are named.
    """
    config = tomllib.loads(files["pyproject.toml"].decode())
    project = config["project"]
    packages: list[str] = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    stem = f"{_wheel_name(project['name'])}-{project['version']}"
    info = f"{stem}.dist-info"
    content = {
        path: data
        for path, data in files.items()
        if any(path == package or path.startswith(f"{package}/") for package in packages)
    }
    content[f"{info}/METADATA"] = _metadata(project, files)
    content[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: phoenix-autonomy\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    content[f"{info}/entry_points.txt"] = _entry_points(project)
    return Wheel(f"{stem}-py3-none-any.whl", _zipped(content, record=f"{info}/RECORD"))


def _wheel_name(name: str) -> str:
    return canonicalize_name(name).replace("-", "_")


def _metadata(project: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    lines = [
        "Metadata-Version: 2.3",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {' '.join(str(project.get('description', '')).split())}",
        f"Requires-Python: {project.get('requires-python', '>=3.11')}",
        *(f"Requires-Dist: {dependency}" for dependency in project.get("dependencies", ())),
    ]
    readme = files.get(str(project.get("readme", "")), b"").decode()
    if readme:
        lines.append("Description-Content-Type: text/markdown")
    return ("\n".join(lines) + "\n\n" + readme).encode()


def _entry_points(project: Mapping[str, Any]) -> bytes:
    lines: list[str] = []
    for group, entries in sorted(project.get("entry-points", {}).items()):
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in sorted(entries.items())), ""]
    return "\n".join(lines).encode()


def _zipped(content: Mapping[str, bytes], *, record: str) -> bytes:
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    for path in sorted(content):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content[path]).digest()).rstrip(b"=")
        table.writerow((path, f"sha256={digest.decode()}", len(content[path])))
    table.writerow((record, "", ""))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in (*sorted(content), record):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = _FILE_MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is built
            data = rows.getvalue().encode() if path == record else content[path]
            archive.writestr(entry, data)
    return target.getvalue()


# --- bill of materials --------------------------------------------------------------------------


def build_sbom(files: Mapping[str, bytes], wheel: Wheel) -> bytes:
    """Return a CycloneDX 1.6 JSON document: the wheel, and all it runs with, at these versions.

    The versions are those of this environment, in which the service will run.
    """
    from cyclonedx.model import HashAlgorithm, HashType  # slow to import; only builders need it
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    project = tomllib.loads(files["pyproject.toml"].decode())["project"]
    name, version = str(project["name"]), str(project["version"])
    root = Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("pypi", None, canonicalize_name(name), version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.digest)],
    )
    bom = Bom(serial_number=uuid5(_NAMESPACE, wheel.digest))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromisoformat("1980-01-01T00:00:00+00:00")
    graph = requirements(project.get("dependencies", ()))
    components = {
        known: Component(
            name=known,
            version=installed,
            type=ComponentType.LIBRARY,
            bom_ref=f"{known}@{installed}",
            purl=PackageURL("pypi", None, known, installed),
        )
        for known, (installed, _) in graph.items()
    }
    for component in components.values():
        bom.components.add(component)
    direct = [canonicalize_name(Requirement(text).name) for text in project["dependencies"]]
    bom.register_dependency(root, [components[d] for d in direct if d in components])
    for known, (_, needs) in graph.items():
        bom.register_dependency(components[known], [components[n] for n in needs])
    return JsonV1Dot6(bom).output_as_string(indent=2).encode()


def requirements(texts: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what these requirements bring along: name -> (installed version, what it needs).

    What is not installed is left out: it is not part of what runs.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    todo = list(texts)
    needs: dict[str, list[str]] = {}
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in found or not _applies(requirement):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        further = [text for text in installed.requires or () if _applies(Requirement(text))]
        needs[name] = [canonicalize_name(Requirement(text).name) for text in further]
        found[name] = (installed.version, ())
        todo += further
    return {
        name: (version, tuple(sorted({n for n in needs[name] if n in found and n != name})))
        for name, (version, _) in sorted(found.items())
    }


def _applies(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate({"extra": ""})
    except UndefinedEnvironmentName:
        return False


# --- provenance ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a build was made from, and who let it happen. Digests are hex SHA-256."""

    build_id: str
    intent_id: str
    service_name: str
    version: str
    spec_digest: str
    tree_digest: str
    generator_version: str
    templates_digest: str
    decision_digest: str  # of the decision that cleared the intent
    approval_digests: tuple[str, ...]  # of what each approver was shown
    sandbox: str
    sbom_digest: str
    epoch: int
    started_at: datetime
    finished_at: datetime
    build_type: str = BUILD_TYPE
    custom: tuple[Mapping[str, str], ...] = ()  # code that a model wrote: name, model, digests


def provenance(wheel: Wheel, origin: Origin) -> dict[str, Any]:
    """Return the in-toto statement with SLSA provenance v1 about a wheel."""
    materials = {
        "spec": origin.spec_digest,
        "source-tree": origin.tree_digest,
        "templates": origin.templates_digest,
        "decision": origin.decision_digest,
        **{f"approval/{n}": digest for n, digest in enumerate(origin.approval_digests, 1)},
    }
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": wheel.name, "digest": {"sha256": wheel.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": origin.build_type,
                "externalParameters": {
                    "service": origin.service_name,
                    "version": origin.version,
                    "intent": origin.intent_id,
                },
                "internalParameters": {
                    "sandbox": origin.sandbox,
                    "epoch": origin.epoch,
                    "custom": [dict(handler) for handler in origin.custom],
                },
                "resolvedDependencies": [
                    {"name": name, "digest": {"sha256": digest}}
                    for name, digest in materials.items()
                    if digest
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "urn:phoenix:build-executor",
                    "version": {"generator": origin.generator_version},
                },
                "metadata": {
                    "invocationId": origin.build_id,
                    "startedOn": origin.started_at.isoformat(),
                    "finishedOn": origin.finished_at.isoformat(),
                },
                "byproducts": [{"name": "sbom.cdx.json", "digest": {"sha256": origin.sbom_digest}}],
            },
        },
    }
