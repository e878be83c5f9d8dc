"""Generated trees on disk, and the service of one in this process."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from domain.spec.model import Spec
from infra.generator import GeneratedProject, generate

IN_MEMORY = {"PERSISTENCE_MODULE": "eventsourcing.popo"}


def written(spec: Spec, directory: Path, *, version: str = "1.0.0") -> GeneratedProject:
    """Generate a project into a directory."""
    project = generate(spec, version=version)
    for path, data in project.files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return project


def importable(spec: Spec, directory: Path) -> str:
    """Generate a project and make its package importable for the rest of the run; return its name.

    Once for each SPEC: the library remembers event classes by their names for ever.
    """
    project = written(spec, directory)
    sys.path.append(str(directory))
    return project.package


@contextmanager
def started(
    package: str, directory: Path, env: Mapping[str, str] = IN_MEMORY
) -> Iterator[tuple[Any, TestClient[Litestar]]]:
    """The service and a client of it, until the end of the block."""
    service = importlib.import_module(f"{package}.service").start(directory, env)
    app = importlib.import_module(f"{package}.app").build(service)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield service, client
