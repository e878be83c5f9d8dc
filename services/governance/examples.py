"""An answer of each endpoint for OpenAPI, as a running service gave it.

``examples.json`` is written by ``python -m tests.governance.api_story``.
"""

import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

FILE = Path(__file__).parent / "examples.json"


def answered(operation: str) -> dict[int, ResponseSpec]:
    """The ``responses`` of a handler, by its method and path (``GET /governance/mode``)."""
    known = _examples().get(operation)
    if known is None:  # a new endpoint, until its answer is written: a test demands it
        return {}
    status: int = known["status"]
    return {
        status: ResponseSpec(
            dict[str, Any],
            description=HTTPStatus(status).description,
            generate_examples=False,
            examples=[Example(summary="As a running service answered", value=known["answer"])],
        )
    }


@cache
def _examples() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found
