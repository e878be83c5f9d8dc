"""The steps that need a processor, each in a process of its own: ``python -m ...tool STEP FOLDER``.

``generate``  reads ``{document, version}`` on stdin, writes ``tree/``
``collect``   reads ``{source, component, version, source_digest}``, writes ``tree/``: a component
``package``   reads ``tree/``, writes ``dist/``: the wheel and ``sbom.cdx.json``

Either prints one JSON object; a refusal is exit 1 with one line on stderr.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from domain.errors import DomainError


def generate(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write the tree of a SPEC; return its figures."""
    from domain.spec.model import read_spec
    from infra.generator import GENERATOR_VERSION, generate

    began = time.monotonic()
    project = generate(read_spec(job["document"]), version=job["version"])
    _write(folder / "tree", project.files)
    return {
        "files": len(project.files),
        "lines": project.lines,
        "tree_digest": project.digest,
        "generator_version": GENERATOR_VERSION,
        "templates_digest": _templates_digest(),
        "duration_s": round(time.monotonic() - began, 3),
    }


def collect(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write the tree of a component, if its source is still the one that was cleared."""
    from infra import components

    began = time.monotonic()
    root, name = Path(job["source"]), job["component"]
    found = components.digest_of(root, name)
    if found != job["source_digest"]:
        raise components.NotBuildable(
            f"the source of {name} has changed since its SPEC was accepted: submit it again"
        )
    files = components.project(root, name, job["version"])
    _write(folder / "tree", files)
    packaged = components.packaged(root, name)
    return {
        "files": len(packaged),
        "lines": sum(data.count(b"\n") for path, data in packaged.items() if path.endswith(".py")),
        "tree_digest": components.tree_digest(files),
        "generator_version": f"source {components.platform_version(root)}",
        "templates_digest": "",
        "duration_s": round(time.monotonic() - began, 3),
    }


def _write(tree: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    for name, data in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _templates_digest() -> str:
    """Hex SHA-256 over the generator's templates, by name."""
    total = hashlib.sha256()
    templates = (files("infra.generator") / "templates").iterdir()
    for template in sorted(templates, key=lambda item: item.name):
        if template.is_file():
            total.update(hashlib.sha256(template.name.encode()).digest())
            total.update(hashlib.sha256(template.read_bytes()).digest())
    return total.hexdigest()


def package(folder: Path, _: dict[str, Any]) -> dict[str, Any]:
    """Write wheel and bill of materials; return their names."""
    from infra.packaging import build_sbom, build_wheel

    began = time.monotonic()
    tree = folder / "tree"
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    content = {path.relative_to(tree).as_posix(): path.read_bytes() for path in paths}
    wheel = build_wheel(content)
    dist = folder / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    (dist / wheel.name).write_bytes(wheel.data)
    (dist / "sbom.cdx.json").write_bytes(build_sbom(content, wheel))
    return {"wheel": wheel.name, "duration_s": round(time.monotonic() - began, 3)}


def main() -> None:
    step, folder = sys.argv[1], Path(sys.argv[2])
    text = sys.stdin.read()
    try:
        steps = {"generate": generate, "collect": collect, "package": package}
        done = steps[step](folder, json.loads(text or "{}"))
    except DomainError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main()
