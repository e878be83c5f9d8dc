"""Answers of generated services: a command waits until this instance's tables hold its result."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response
from litestar.exceptions import ValidationException
from litestar.params import QueryParameter
from litestar.types import ExceptionHandlersMap

from domain.errors import DomainError, Invalid, NotFound
from infra.http.problems import PROBLEM_HANDLERS, problem
from infra.http.requests import ReadYourWrites
from infra.service_kit.read_model import PAGE_DEFAULT, PAGE_MAX, ReadModel
from infra.service_kit.tables import Table, stored

POSITION_HEADER = "X-Log-Position"
_COMMON = frozenset(("limit", "cursor", "after"))
_ENVELOPE = frozenset(("originator_id", "originator_version", "originator_topic", "timestamp"))

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]


AnyRequest = Request[Any, Any, Any]


def _wrong_filter(request: AnyRequest, error: ValidationException) -> Response[dict[str, Any]]:
    """In a list's handler the filter ``state`` is the argument ``by_state``."""
    if request.method == "GET" and isinstance(error.extra, list):
        for item in error.extra:
            item["key"] = str(item.get("key", "")).removeprefix("by_")
    handler: Any = PROBLEM_HANDLERS[ValidationException]
    answer: Response[dict[str, Any]] = handler(request, error)
    return answer


def _unreadable(_: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    why = "nested too deeply" if isinstance(error, RecursionError) else "not in UTF-8"
    return problem(400, f"the body cannot be read: {why}")


PROBLEMS: ExceptionHandlersMap = {
    ValidationException: _wrong_filter,
    UnicodeDecodeError: _unreadable,
    RecursionError: _unreadable,
}


def row_of(views: ReadModel, table: Table, record_id: UUID) -> dict[str, Any]:
    """Return a record's row.

    Raises:
        NotFound: there is none.
    """
    row = views.one(table, record_id)
    if row is None:
        raise NotFound(f"no record {record_id}")
    return row


def done(
    views: ReadModel, table: Table, record_id: UUID, position: int, *, status: int = 200
) -> Response[dict[str, Any]]:
    """Return the record after a command, with the position of what the command recorded.

    When it had nothing to record (position 0), with all that the log holds now."""
    if position:
        views.wait(position)
    else:
        position = views.catch_up(timeout_s=5.0)
    body = {**row_of(views, table, record_id), "position": position}
    return Response(body, status_code=status, headers={POSITION_HEADER: str(position)})


def gone(views: ReadModel, position: int) -> Response[None]:
    """Return the empty answer of a record that has been taken away."""
    views.wait(position)
    return Response(None, status_code=204, headers={POSITION_HEADER: str(position)})


def only(request: AnyRequest, filters: Iterable[str]) -> None:
    """Raises: Invalid: the query has a name that this list cannot be filtered by."""
    for name in request.query_params:
        if name not in _COMMON and name not in filters:
            raise Invalid(name, f"no such filter; there are: {', '.join(filters) or 'none'}")


def unreferred(views: ReadModel, table: Table, field: str, record_id: UUID) -> None:
    """Raises: DomainError: other records still refer to this one."""
    count = views.count(table, {field: record_id})
    if count:
        raise DomainError(f"{count} of {table.name} still refer to it in {field}")


def read_your_writes(views: ReadModel) -> ReadYourWrites:
    """The middleware that lets ``?after=<position>`` wait for these tables."""
    return ReadYourWrites(views)


def version_of(cursor: str) -> int:
    """Return the version after which a history goes on; 0 for its start.

    Raises:
        Invalid: the cursor is not one of a history.
    """
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Invalid("cursor", "is not a cursor of this list")
    return int(cursor)


def paged(events: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """Return one page of a history that was read one further than asked for."""
    more = len(events) > limit
    return {"items": events[:limit], "cursor": str(events[limit - 1]["version"]) if more else ""}


def described(event: Any) -> dict[str, Any]:
    """An event of a record for people: its version, name, time and data."""
    at: datetime = event.timestamp
    data = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in _ENVELOPE}
    return {
        "version": event.originator_version,
        "event": type(event).__name__,
        "at": stored(at),
        "data": {name: _plain(value) for name, value in data.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return stored(value)


__all__ = [
    "PAGE_DEFAULT",
    "PROBLEMS",
    "Limit",
    "described",
    "done",
    "gone",
    "only",
    "paged",
    "read_your_writes",
    "row_of",
    "unreferred",
    "version_of",
]
