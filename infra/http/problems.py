"""Every HTTP error as RFC 9457 problem details (``application/problem+json``)."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from domain.errors import (
    ConflictError,
    DomainError,
    Invalid,
    LogRefused,
    NotAllowed,
    NotFound,
    PhoenixError,
    TransientError,
)

_log = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, Any]
_TITLES: dict[int, str] = {
    400: "The request cannot be read",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Refused by a rule or by a newer state",
    413: "Too large",
    422: "A field has a value that is not allowed",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Try again soon",
}


def problem(
    status: int,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[dict[str, Any]]:
    """Return a problem document: type, title, status, detail and any extension members."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        **(extra or {}),
    }
    return Response(
        body, status_code=status, media_type="application/problem+json", headers=headers
    )


def _of_domain(status: int) -> Callable[[AnyRequest, Exception], Response[dict[str, Any]]]:
    def handle(_: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
        return problem(status, str(error))

    return handle


def _of_invalid(_: AnyRequest, error: Invalid) -> Response[dict[str, Any]]:
    errors = [{"field": error.field, "message": error.message}]
    return problem(422, str(error), extra={"field": error.field, "errors": errors})


def _of_transient(_: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    return problem(503, str(error), headers={"Retry-After": "1"})


def _of_validation(_: AnyRequest, error: ValidationException) -> Response[dict[str, Any]]:
    found = error.extra if isinstance(error.extra, list) else []
    errors = [
        _error(str(item.get("key", "")), str(item.get("message", "")))
        for item in found
        if isinstance(item, dict)
    ]
    texts = (": ".join(filter(None, (item["field"], item["message"]))) for item in errors)
    detail = "; ".join(texts) or error.detail
    field = errors[0]["field"] if errors else ""
    return problem(422, detail, extra={"field": field, "errors": errors})


def _error(field: str, message: str) -> dict[str, str]:
    """Where there is no body at all, the framework names its own argument."""
    if (field, message) == ("data", "'data'"):
        return {"field": "", "message": "a JSON body is required"}
    return {"field": field, "message": message}


def _of_unreadable(_: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    return problem(400, f"the body cannot be read: {type(error).__name__}")


def _of_http(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    headers = dict(error.headers or {})
    return problem(error.status_code, error.detail, headers=headers)


def _of_bug(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    _log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return problem(500, f"{type(error).__name__}: see the service's log")


PROBLEM_HANDLERS: ExceptionHandlersMap = {
    NotFound: _of_domain(404),
    Invalid: _of_invalid,
    NotAllowed: _of_domain(403),
    DomainError: _of_domain(409),
    ConflictError: _of_domain(409),
    TransientError: _of_transient,
    LogRefused: _of_domain(500),
    PhoenixError: _of_bug,
    UnicodeDecodeError: _of_unreadable,
    RecursionError: _of_unreadable,
    ValidationException: _of_validation,
    HTTPException: _of_http,
    Exception: _of_bug,
}
PROBLEM_MEDIA_TYPE = "application/problem+json"

__all__ = ["PROBLEM_HANDLERS", "PROBLEM_MEDIA_TYPE", "problem"]
