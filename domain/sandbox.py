"""Levels of the sandbox that generated code is tested in, and how they compare."""

from collections.abc import Iterable
from typing import Literal

SandboxLevel = Literal["bubblewrap", "landlock", "process"]
_STRENGTH: dict[SandboxLevel, int] = {"process": 0, "landlock": 1, "bubblewrap": 2}


def strictest(levels: Iterable[SandboxLevel | None]) -> SandboxLevel | None:
    """Return the strongest of the levels; None when none is named."""
    return max((level for level in levels if level), key=_STRENGTH.__getitem__, default=None)


def suffices(level: SandboxLevel, demanded: SandboxLevel | None) -> bool:
    """Whether a level is at least as strong as the one that is demanded, if any."""
    return demanded is None or _STRENGTH[level] >= _STRENGTH[demanded]
