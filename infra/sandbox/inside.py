"""The first process inside a sandbox: takes the limits, gives up every right, starts the command.

Runs as a script of its own (standard library only, ``python -I -S``), with one JSON argument:
``limits`` (name of a resource -> value), ``user`` (id to become; null: stay), ``copy``
([from, to]; null: nothing), ``cwd``, ``env``, ``argv``, ``reap`` (stay as the parent that every
orphan comes back to, for a level without a process namespace of its own).
"""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38


def main() -> None:
    job = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if job["reap"]:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
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
    os.umask(0o022)
    if job["copy"] is not None:
        shutil.copytree(job["copy"][0], job["copy"][1], dirs_exist_ok=True)
    os.chdir(job["cwd"])
    if job["reap"]:
        reap(job)
    os.execve(job["argv"][0], job["argv"], job["env"])


def reap(job: "dict[str, object]") -> None:
    """Run the command as a child; when it ends, end whatever it left behind."""
    argv, env = job["argv"], job["env"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    child = os.fork()
    if child == 0:
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
            for orphan in children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def children() -> "list[int]":
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    main()
