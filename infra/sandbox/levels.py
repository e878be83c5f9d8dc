"""Which sandbox works on this host: tried once, best first (bubblewrap, landlock, process)."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import structlog

from infra.sandbox import bubblewrap
from infra.sandbox.limits import Limits
from infra.sandbox.run import Variant, run
from infra.settings import WrongSetting

_log = structlog.get_logger(__name__)
_PROBE = "import os, ssl, sqlite3; print(f'sandbox-{40 + 2}', os.getcwd())"
_PROBE_WALL_S = 20.0
_found: dict[str, Variant] = {}
_trying = asyncio.Lock()


async def best_level(wanted: str = "auto") -> Variant:
    """Return the sandbox to use for a setting of ``PHOENIX_SANDBOX``.

    Raises:
        WrongSetting: the level that was asked for does not work on this host.
    """
    async with _trying:
        if wanted not in _found:
            _found[wanted] = await _first_that_works(wanted)
        return _found[wanted]


async def _first_that_works(wanted: str) -> Variant:
    reason = ""
    for variant in _candidates(wanted):
        works, reason = await _works(variant)
        if works:
            _log.info("sandbox_chosen", level=variant.level, as_root=variant.as_root)
            return variant
        _log.warning("sandbox_not_available", level=variant.level, reason=reason[-500:])
    raise WrongSetting(
        f"PHOENIX_SANDBOX={wanted!r}: does not work on this host: {reason[-300:].strip()}"
    )


def _candidates(wanted: str) -> list[Variant]:
    """A user id of its own goes first; it cannot reach an interpreter in a closed home."""
    variants: list[Variant] = []
    own_user = (True, False) if os.geteuid() == 0 else (False,)
    if wanted in ("auto", "bubblewrap") and bubblewrap.available():
        variants += [Variant("bubblewrap", as_root=own) for own in own_user]
    if wanted in ("auto", "landlock"):
        variants += [Variant("landlock", as_root=own) for own in own_user]
    if wanted in ("auto", "process"):
        variants.append(Variant("process"))
    return variants


async def _works(variant: Variant) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="phoenix-probe-") as folder:
        os.chmod(folder, 0o755)
        try:
            result = await run(
                [sys.executable, "-I", "-c", _PROBE],
                Path(folder),
                variant=variant,
                limits=Limits(wall_s=_PROBE_WALL_S),
            )
        except OSError as error:
            return False, str(error)
    return result.ok and "sandbox-42" in result.output, result.output
