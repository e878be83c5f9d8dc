"""A list endpoint's answer: one filtered page of a view, as ``{items, cursor, total}``."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.view import Row, Table
from infra.ports import Views


def listing(
    views: Views,
    table: Table[Row],
    shown: Callable[[Row], Any],
    *,
    where: Mapping[str, object] | None = None,
    text: str = "",
    order: str = "",
    newest_first: bool = False,
    limit: int,
    cursor: str = "",
) -> dict[str, Any]:
    """Return the page that was asked for. A filter in ``where`` that is None was not given.

    Raises:
        Invalid: an unknown column or a cursor that is not ours.
    """
    page = views.page(
        table,
        where={name: value for name, value in (where or {}).items() if value is not None},
        text=text,
        order=order,
        descending=newest_first,
        limit=limit,
        cursor=cursor,
    )
    items = [shown(row) for row in page.rows]
    return {"items": items, "cursor": page.cursor, "total": page.total}
