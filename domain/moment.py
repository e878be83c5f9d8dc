"""Moments as people write them."""

from datetime import UTC, datetime

from domain.errors import Invalid


def moment_of(text: str, *, field: str) -> datetime:
    """The moment that a person wrote (ISO 8601; UTC when no zone is named).

    Raises:
        Invalid: ``field``: this is no date and time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(field, f"is no date and time: {text[:40]!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
