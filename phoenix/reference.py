"""Find a service by the name of its entry point, or as ``module:function``."""

import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domain.errors import PhoenixError

GROUP = "phoenix.services"


class UnknownService(PhoenixError):
    """No such entry point; the text names those that there are."""


def names() -> list[str]:
    """The built-in services' names."""
    return sorted(entry.name for entry in importlib.metadata.entry_points(group=GROUP))


def load(reference: str, artifact: str = "") -> Callable[[Any], Any]:
    """Return a service's ``create``; with an artifact folder, the one that is installed there.

    Raises:
        UnknownService: nothing of that name.
    """
    if artifact:
        return _installed(Path(artifact), reference)
    if ":" in reference:
        module, _, function = reference.partition(":")
        return _checked(getattr(importlib.import_module(module), function), reference)
    for entry in importlib.metadata.entry_points(group=GROUP, name=reference):
        return _checked(entry.load(), reference)
    raise UnknownService(f"no service {reference!r}; there are {', '.join(names())}")


def _installed(folder: Path, name: str) -> Callable[[Any], Any]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    found = [
        (entry, distribution.version)
        for distribution in importlib.metadata.distributions(path=[str(folder)])
        for entry in distribution.entry_points.select(group=GROUP)
    ]
    for entry, version in found:
        if entry.name == name or len(found) == 1:
            _prefer(folder, entry.module)
            create = _checked(entry.load(), name)
            return _released(create, version) if _own(entry.module) else create
    raise UnknownService(f"the artifact in {folder} offers no service {name!r}")


def _own(module: str) -> bool:
    """Whether it is a part of this system: generated services have packages of their own."""
    return module.startswith("services.")


def _released(create: Callable[[Any], Any], version: str) -> Callable[[Any], Any]:
    """A part's source knows the platform's version; the release has a build number, too."""

    def created(ctx: Any) -> Any:
        service = create(ctx)
        service.version = version
        return service

    return created


def _prefer(folder: Path, module: str) -> None:
    """Import a module from the folder although an older copy was loaded before the fork.

    A part of the system that was built anew (``services.governance``) shares its parent package
    with the rest; only its own package is loaded again.
    """
    parent, _, _ = module.partition(".")
    package = ".".join(module.split(".")[:2])
    if parent not in sys.modules or not (folder / parent).is_dir():
        return
    paths = getattr(sys.modules[parent], "__path__", None)
    if paths is not None:
        paths.insert(0, str(folder / parent))
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _checked(create: Any, reference: str) -> Callable[[Any], Any]:
    if not callable(create):
        raise UnknownService(f"{reference!r} is not a function that creates a service")
    return create  # type: ignore[no-any-return]
