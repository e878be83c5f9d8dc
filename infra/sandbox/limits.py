"""What a sandboxed command may use, and what came of it."""

from dataclasses import dataclass

from domain.sandbox import SandboxLevel

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``memory_bytes`` holds for all processes together (and, as address space, for each one);
    ``disk_bytes`` for all files written; ``cpu_s`` for each process; ``wall_s`` for the whole."""

    wall_s: float = 120.0
    cpu_s: int = 90
    memory_bytes: int = 1024 * MIB
    address_space_bytes: int = 4096 * MIB
    processes: int = 128  # threads included
    files: int = 512
    file_bytes: int = 64 * MIB
    disk_bytes: int = 256 * MIB
    output_bytes: int = 256 * 1024  # kept: the beginning and the end
    output_bytes_max: int = 64 * MIB  # written: more ends it


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """``stopped`` says which limit ended it ("" when it ended by itself).

    A limit that the kernel enforces (memory of one process, file size, disk) shows as an error
    inside the command, and so in ``exit_code`` and ``output``.
    """

    exit_code: int
    output: str
    duration_s: float
    level: SandboxLevel
    stopped: str = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.stopped
