"""When a fallen instance is started again, and when promotions wait for a person. Pure.

Restart intensity (as in OTP supervisors): a death in normal life is mended at once; deaths in quick
succession wait longer and longer. Time is the caller's monotonic clock, in seconds.
"""

from collections import deque
from dataclasses import dataclass, field

HOUR_S = 3600.0


@dataclass(slots=True)
class Backoff:
    """One seat's crash loop."""

    first_s: float = 0.2
    limit_s: float = 30.0
    calm_s: float = 2.0  # alive this long after it was ready: the loop is over
    failures: int = 0

    def died(self, *, ready_for_s: float | None) -> float:
        """Return the wait before the next start; ``ready_for_s`` is None if it never was ready."""
        if ready_for_s is not None and ready_for_s >= self.calm_s:
            self.failures = 0
        self.failures += 1
        free = 1 if ready_for_s is None else 2  # a kill of a healthy instance costs no wait
        if self.failures <= free:
            return 0.0
        return min(self.first_s * 2.0 ** (self.failures - free - 1), self.limit_s)

    @property
    def looping(self) -> bool:
        return self.failures > 3


@dataclass(slots=True)
class FailoverBudget:
    """At most so many promotions an hour without a person."""

    per_hour: int
    times: deque[float] = field(default_factory=deque)

    def used(self, now: float) -> int:
        while self.times and now - self.times[0] >= HOUR_S:
            self.times.popleft()
        return len(self.times)

    def promoted(self, now: float) -> None:
        self.times.append(now)

    def spent(self, now: float) -> bool:
        return self.used(now) >= self.per_hour

    def renewed(self) -> None:
        """A person looked at it."""
        self.times.clear()
