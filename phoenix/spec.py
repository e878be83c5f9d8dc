"""What the launcher tells an instance about itself when it is forked."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class InstanceSpec(BaseModel):
    """One incarnation of one seat. A seat keeps its name and its views; an incarnation is one
    process, and the name under which it holds the lease.

    Fields that are not known are ignored: a deployed part may be older than its launcher."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str
    reference: str  # an entry point's name, or ``module:function``
    instance: str  # ``<service>-<seat>``
    incarnation: str  # ``<instance>.<random>``: unique
    seat: int
    preferred: bool  # may create the lease at once
    capacity: int
    ports: tuple[int, ...]  # by slot; the sockets arrive in the same order
    launcher_pid: int
    world: str = ""  # which code and settings its launcher started it with
    artifact: str = ""  # the folder of an installed artifact; "" for built-in services
    version: str = ""
    digest: str = ""
    started: float  # the launcher's monotonic clock (one for the whole host)

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
