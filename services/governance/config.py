"""What the governance service takes from the settings, read once."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from domain.governance_events import Mode
from domain.rubric import Blueprint, parse_blueprint
from infra.settings import Settings

BLUEPRINT = Path(__file__).parents[2] / "infra" / "assets" / "BLUEPRINT.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    first_mode: Mode
    blueprint: Blueprint
    approval_ttl: timedelta


def load_config(settings: Settings) -> Config:
    """Raises: OSError: the blueprint file cannot be read."""
    path = settings.blueprint or BLUEPRINT
    return Config(
        first_mode=settings.mode,
        blueprint=parse_blueprint(path.read_text(encoding="utf-8")),
        approval_ttl=timedelta(hours=settings.approval_ttl_h),
    )
