"""Every table of ``projections/``."""

import importlib
import pkgutil
from typing import Any

import projections
from domain.view import Table


def tables() -> list[Table[Any]]:
    """Each once, by the order of modules."""
    found: dict[str, Table[Any]] = {}
    for module in pkgutil.iter_modules(projections.__path__):
        names = vars(importlib.import_module(f"projections.{module.name}"))
        found |= {value.name: value for value in names.values() if isinstance(value, Table)}
    return list(found.values())
