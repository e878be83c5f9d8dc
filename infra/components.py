"""This system's own source as something to build from: what a component is made of, and its tests.

A component    its own package under ``services/`` with all that it runs on (``domain``,
               ``projections``, ``infra``, ``phoenix``): the whole of what its instances execute.
Its tests      every test file of its area that can run without anything outside the process: a
               file that imports, itself or through other test modules, one of ``OUTSIDE`` is left
               out. There is always at least one, or there is no build.
"""

import ast
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from domain.errors import DomainError
from infra.settings import BASE_PORTS, Settings

SHARED = ("domain", "infra", "phoenix", "projections")
OUTSIDE = frozenset(
    (
        "infra.nats",  # a server
        "infra.sandbox",  # a sandbox cannot be made inside a sandbox
        "playwright",
        "testcontainers",
        "tests.support.nats",
        "services.build_executor.work",  # the same
    )
)
ABOUT: Mapping[str, tuple[str, tuple[str, ...]]] = {  # purpose and features, for their intents
    "registry": (
        "Single source of truth for which services run, their instances, health and dependencies",
        (
            "Service registration and discovery",
            "Health checks of every registered service",
            "Uptime and failover history as events",
        ),
    ),
    "sovereign-factory": (
        "Turns approved intents into scored and verified specifications that services are built "
        "from",
        (
            "Draft typed specifications from intents",
            "Score specifications with findings",
            "Improve specifications without removing content",
        ),
    ),
    "build-executor": (
        "Builds services from accepted specifications, tests them in a sandbox and deploys them "
        "with signed provenance",
        (
            "Generate and test services in a sandbox",
            "Package with signed provenance",
            "Deploy with health checks and rollback",
        ),
    ),
    "intent-queue": (
        "Autonomous intent queue that receives, prioritizes and tracks every intent as immutable "
        "events",
        (
            "Priority queue with validation of intents",
            "Refusal of duplicate intents",
            "Intent lifecycle tracking",
        ),
    ),
    "governance": (
        "AI-powered blueprint alignment and auto-approval governance engine",
        (
            "Blueprint alignment scoring",
            "Policy decisions with an audit trail",
            "Human approval for tier 0 changes",
        ),
    ),
    "approval-dashboard": (
        "Dashboard where people review and approve or reject intents with the evidence in view",
        (
            "Pending approvals with evidence",
            "Approve or reject with a reason",
            "Decision history and audit trail",
        ),
    ),
}
_AREAS = {
    "approval-dashboard": "dashboard",
    "build-executor": "executor",
    "sovereign-factory": "spec",
}
_WITH_TESTS = ("tests/__init__.py", "tests/conftest.py")
_BESIDE = ("examples", "services", "tests/support")  # what tests may read or import
_SKIPPED = frozenset(("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"))


class NotBuildable(DomainError):
    """There is no such component, or its source is not there, or it has no tests."""


def source_root(settings: Settings) -> Path:
    """Return the folder that components are built from (``PHOENIX_SOURCE``)."""
    return (settings.source or Path(__file__).resolve().parents[1]).absolute()


def platform_version(root: Path) -> str:
    """Return the version of the platform's source.

    Raises:
        NotBuildable: this is no source tree.
    """
    return str(_pyproject(root)["project"]["version"])


def package_of(name: str) -> str:
    """Return a component's package.

    Raises:
        NotBuildable: this system has no such part.
    """
    if name not in BASE_PORTS:
        raise NotBuildable(f"{name} is no part of this system: {', '.join(BASE_PORTS)}")
    return f"services/{name.replace('-', '_')}"


def packaged(root: Path, name: str) -> dict[str, bytes]:
    """Return what the wheel of a component holds, by path.

    Raises:
        NotBuildable: the source is not there.
    """
    package = package_of(name)
    if not (root / package / "service.py").is_file():
        raise NotBuildable(f"{root} does not hold {package}: set PHOENIX_SOURCE to a source tree")
    files = dict(_files(root, (*SHARED, package)))
    init = root / "services" / "__init__.py"
    files["services/__init__.py"] = init.read_bytes() if init.is_file() else b""
    return files


def tests_of(root: Path, name: str) -> tuple[str, ...]:
    """Return the paths of a component's test files that run in a sandbox.

    Raises:
        NotBuildable: there is none.
    """
    area = root / "tests" / _AREAS.get(name, name.replace("-", "_"))
    chosen = [path for path in sorted(area.rglob("test_*.py")) if not _outside(root, path)]
    if not chosen:
        raise NotBuildable(f"{area} holds no test that runs without a network: nothing is untested")
    return tuple(path.relative_to(root).as_posix() for path in chosen)


def digest_of(root: Path, name: str) -> str:
    """Return the hex SHA-256 of a component's source and tests: what an approval is bound to.

    Raises:
        NotBuildable: there is no such source, or no test of it.
    """
    return tree_digest({**packaged(root, name), **_test_files(root, tests_of(root, name))})


def fingerprint(digest: str) -> str:
    """A digest as people compare it, eight characters at a time."""
    return " ".join(digest[n : n + 8] for n in range(0, len(digest), 8))


def tree_digest(files: Mapping[str, bytes]) -> str:
    """Hex SHA-256 over sorted (path, SHA-256) pairs."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{hashlib.sha256(files[path]).hexdigest()}\n".encode())
    return total.hexdigest()


def shared_digest(root: Path) -> str:
    """Return the digest of the code that all services share, in a source tree or an artifact."""
    return tree_digest(dict(_files(root, SHARED)))


def source_digest(root: Path) -> str:
    """Return the digest of all code that instances of built-in services may run."""
    return tree_digest(dict(_files(root, (*SHARED, "services"))))


def project(root: Path, name: str, version: str) -> dict[str, bytes]:
    """Return the tree to test and to package, with a ``pyproject.toml`` of its own.

    Raises:
        NotBuildable: as ``packaged`` and ``tests_of``.
    """
    chosen = tests_of(root, name)
    tree = dict(_files(root, _BESIDE)) | _test_files(root, chosen) | packaged(root, name)
    return {**tree, "pyproject.toml": _project_file(root, name, version).encode()}


def _project_file(root: Path, name: str, version: str) -> str:
    """JSON strings and lists of strings are TOML, too."""
    ours = _pyproject(root)["project"]
    package = package_of(name)
    module = f"{package.replace('/', '.')}.service:create"
    packages = [*SHARED, "services/__init__.py", package]
    return "\n".join(
        (
            "[project]",
            f"name = {json.dumps(f'phoenix-{name}')}",
            f"version = {json.dumps(version)}",
            f"description = {json.dumps(f'{name}, a part of Phoenix Autonomy')}",
            f"requires-python = {json.dumps(ours['requires-python'])}",
            f"dependencies = {json.dumps(ours['dependencies'])}",
            "",
            '[project.entry-points."phoenix.services"]',
            f"{name} = {json.dumps(module)}",
            "",
            "[tool.hatch.build.targets.wheel]",
            f"packages = {json.dumps(packages)}",
            "",
            _pytest_options((root / "pyproject.toml").read_text()),
        )
    )


def _pytest_options(text: str) -> str:
    """The platform's own section, word for word."""
    head = "[tool.pytest.ini_options]"
    _, found, rest = text.partition(head)
    return head + rest.split("\n[", 1)[0] + "\n" if found else ""


def _pyproject(root: Path) -> Mapping[str, Mapping[str, object]] | dict[str, dict[str, object]]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise NotBuildable(
            f"{root} is no source tree ({error}): set PHOENIX_SOURCE to one"
        ) from error


def _test_files(root: Path, chosen: Iterable[str]) -> dict[str, bytes]:
    """The chosen files with everything in the folders of the modules that they use."""
    modules = {path for test in chosen for path in _closure(root, root / test)}
    folders = {path.parent for path in modules}
    found = {name: (root / name).read_bytes() for name in _WITH_TESTS if (root / name).is_file()}
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix != ".pyc" and not _left_out(path, chosen, root):
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def _left_out(path: Path, chosen: Iterable[str], root: Path) -> bool:
    is_test = path.name.startswith("test_") and path.suffix == ".py"
    return is_test and path.relative_to(root).as_posix() not in set(chosen)


def _outside(root: Path, test: Path) -> bool:
    return any(_needs_outside(path) for path in _closure(root, test))


def _closure(root: Path, first: Path) -> set[Path]:
    """A test file and the test modules that it imports, however deep."""
    seen: set[Path] = set()
    todo = [first]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(path):
            module = root.joinpath(*name.split(".")).with_suffix(".py")
            if name.startswith("tests.") and module.is_file():
                todo.append(module)
    return seen


def _needs_outside(path: Path) -> bool:
    return any(
        name == outside or name.startswith(f"{outside}.")
        for name in _imports(path)
        for outside in OUTSIDE
    )


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(root: Path, folders: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and not _SKIPPED.intersection(path.parts):
                yield path.relative_to(root).as_posix(), path.read_bytes()
