"""The only place that asks the operating system for the time."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements ``infra.ports.Clock``."""

    def now(self) -> datetime:
        """The wall clock, UTC, aware: for what is stored and shown."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow: for every wait and every lease."""
        return time.monotonic()
