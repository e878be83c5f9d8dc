"""The first process inside a sandbox: takes the limits, gives up every right, starts the command.

Runs as a script of its own (standard library only, ``python -I -S``), with one JSON argument:
``limits`` (name of a resource -> value), ``user`` (id to become; null: stay), ``copy``
([from, to]; null: nothing), ``cwd``, ``env``, ``argv``, ``reap`` (stay as the parent that every
orphan comes back to, for a level without a process namespace of its own), ``landlock`` (what may
be read, written and started, see ``landlock.py``; null: no such rules; it needs the packages).
"""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import sys

TYPE_CHECKING = False  # without the import: this starts with every sandbox
if TYPE_CHECKING:
    from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
PR_SET_DUMPABLE, PR_CAPBSET_DROP, CAPABILITIES = 4, 24, range(64)
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    job = json.loads(sys.argv[1])
    if job["landlock"] is not None:
        for capability in CAPABILITIES:  # a root that stays root has no rights after the next exec
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("sandbox: cannot give up privileges")
    for name, value in job["limits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (limit, limit))
    if job["user"] is not None:
        os.setgroups([])
        os.setresgid(job["user"], job["user"], job["user"])
        os.setresuid(job["user"], job["user"], job["user"])
    if job["reap"]:
        end_with_parent()
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.umask(0o022)
    if job["copy"] is not None:
        shutil.copytree(job["copy"][0], job["copy"][1], dirs_exist_ok=True)
    os.chdir(job["cwd"])
    if job["landlock"] is not None:
        confined(job)
    if job["reap"]:
        reap(job)
    os.execve(job["argv"][0], job["argv"], job["env"])


def end_with_parent() -> None:
    """Call it after a change of user, which takes this back."""
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def confined(job: "dict[str, Any]") -> "NoReturn":
    """Run the command under Landlock and seccomp; this process supervises it from outside."""
    os.environ["HOME"] = job["cwd"]  # sandlock asks for one; a user id of nobody's has none
    from sandlock import Sandbox  # type: ignore[import-untyped]

    rules = job["landlock"]
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # a change of user closes /proc/self to the supervisor
    sandbox = Sandbox(
        fs_readable=rules["readable"],
        fs_writable=rules["writable"],
        cwd=job["cwd"],
        clean_env=True,
        env=job["env"],
        max_processes=rules["processes"],
        no_coredump=True,
    )
    code = sandbox.run_interactive(job["argv"])
    with contextlib.suppress(ChildProcessError):
        while True:
            end(children())
            os.waitpid(-1, 0)
    os._exit(code if code >= 0 else 128 - code)


def reap(job: "dict[str, object]") -> None:
    """Run the command as a child; when it ends, end whatever it left behind."""
    argv, env = job["argv"], job["env"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    child = os.fork()
    if child == 0:
        end_with_parent()
        os.execve(argv[0], argv, env)
    status = 0
    ended = False
    while True:
        try:
            pid, code = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            status, ended = code, True
        if ended:
            end(children())
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def end(orphans: "list[int]") -> None:
    for orphan in orphans:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)


def children() -> "list[int]":
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    main()
