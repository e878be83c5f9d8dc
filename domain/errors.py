"""What can be wrong, by who has to act on it (see docs/architecture.md, "Errors").

``DomainError``: the request is refused and says why. ``ConflictError``: somebody else wrote first,
decide again. ``TransientError``: try again later. ``PoisonError``: stored data that cannot be read.
``StaleEpoch`` and ``LeaseLost``: this process no longer leads; it writes nothing more and ends.
"""


class PhoenixError(Exception):
    """Base of every error this system raises on purpose."""


class DomainError(PhoenixError):
    """A command was refused by a rule."""


class NotFound(DomainError):
    """What the command is about does not exist."""


class IllegalTransition(DomainError):
    """The command does not fit the state."""


class Invalid(DomainError):
    """A field has a value that is not allowed. ``field`` is its dotted path."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotAllowed(DomainError):
    """The person or service may not do this."""


class ConflictError(PhoenixError):
    """The subject has moved on since it was read."""

    def __init__(
        self, subject: str, *, expected: int | None = None, found: int | None = None
    ) -> None:
        super().__init__(f"{subject}: expected last position {expected}, found {found}")
        self.subject = subject
        self.expected = expected
        self.found = found


class TransientError(PhoenixError):
    """The log or another engine did not answer in time; the same call may succeed later."""


class LogRefused(PhoenixError):
    """The log will not take this write, now or later (no permission, stream missing, too large)."""


class PoisonError(PhoenixError):
    """A stored message cannot be read."""


class UnknownEventType(PoisonError):
    """An event type this version does not know: upgrade before reading on."""

    def __init__(self, full_type: str, where: str = "") -> None:
        at = f" at {where}" if where else ""
        super().__init__(f"unknown event type {full_type}{at}: this version is older than the log")
        self.full_type = full_type


class StaleEpoch(PhoenixError):
    """A newer leader has taken over."""

    def __init__(self, *, given: int, current: int | None = None) -> None:
        super().__init__(f"epoch {given} is stale, current is {current}")
        self.given = given
        self.current = current


class LeaseLost(PhoenixError):
    """The term ran out without a renewal."""
