"""The few files a page needs, read once; their address holds a digest, so they may be kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


@cache
def assets() -> Mapping[str, Asset]:
    """Every file that is served under ``/static/``, by name."""
    return {
        "dashboard.css": _asset(_HERE / "dashboard.css", "text/css"),
        "live.js": _asset(_HERE / "live.js", "text/javascript"),
        "icon.svg": _asset(_HERE / "icon.svg", "image/svg+xml"),
        "htmx.js": _asset(_htmx(), "text/javascript"),
    }


def address(name: str) -> str:
    return f"/static/{name}?v={assets()[name].digest}"


def _asset(path: Path, media_type: str) -> Asset:
    return Asset(path.read_bytes(), media_type)


def _htmx() -> Path:
    # The wheel's files without importing it: its module wants Django.
    spec = find_spec("js_lib_htmx")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package django-js-lib-htmx is not installed")
    return Path(spec.submodule_search_locations[0]) / "static" / "htmx" / "htmx.min.js"
