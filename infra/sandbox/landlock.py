"""The rules of the Landlock level, for hosts that allow no namespaces: what ``sandlock`` enforces.

Seen       /usr, the interpreter with its packages (read only), a few files of /etc, its own part of
           /proc, and a work folder: a copy of the given one on the host's own file system.
Not seen   homes, keys, the data directory, /tmp, other processes (neither read nor signalled).
Refused    every network but socket pairs and Unix sockets in the work folder: TCP by Landlock, the
           rest by seccomp, with which mounting, tracing, io_uring and such are refused as well.
Weaker     than bubblewrap in three points: no loopback of its own, so that tests which listen on
           a port fail; the disk is bounded by a watch; the host's name and user ids show.
Kernel     Landlock ABI 6 (Linux 6.12). An older one is refused: nothing is left out silently.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.sandbox.bubblewrap import product, programs
from infra.sandbox.limits import Limits

_READABLE = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/debian_version",
)


def importable(folder: Path) -> Path:
    """Fill a folder through which this product's packages are found: Python lists the folder of a
    package, and the one that a checkout stands in may hold more than the sandbox is to see."""
    folder.mkdir()
    for package in product():
        (folder / package.name).symlink_to(package)
    return folder


def rules(work: Path, limits: Limits, *, more: Iterable[Path] = ()) -> dict[str, Any]:
    """Return what ``inside.py`` gives to sandlock. ``more``: further paths to show, read only."""
    shown = [*map(Path, _READABLE), *programs(), *more]
    return {
        "readable": sorted({str(path) for path in shown if path.exists()}),
        "writable": [str(work), "/dev/null"],
        "processes": limits.processes,
    }
