"""The published rubric: how well an intent fits the blueprint, worked out without a model.

Pure and deterministic: the same intent, blueprint and blast radius give the same assessment, line
by line. It reads what an intent says and declares, never the name of the service: who needs that is
looked up beforehand. See docs/governance.md.
"""

from domain.rubric.blueprint import Blueprint, parse_blueprint
from domain.rubric.evaluate import RUBRIC_VERSION, VERSIONS, evaluate

__all__ = [
    "RUBRIC_VERSION",
    "VERSIONS",
    "Blueprint",
    "evaluate",
    "parse_blueprint",
]
