"""How commands show things: tables for people, JSON for programs, one line for an error."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import Invalid
from domain.moment import moment_of

# A pipe or a file has no width of its own: rows are kept on one line there.
_PIPE_WIDTH = 200
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def moment(text: str, option: str) -> datetime:
    """The moment that an option names (ISO 8601; UTC when no zone is named).

    Raises:
        BadParameter: it is none.
    """
    try:
        return moment_of(text, field=option)
    except Invalid as error:
        raise typer.BadParameter(error.message, param_hint=option) from None


def show(data: Any, *, as_json: bool, human: Callable[[], None] | None = None) -> None:
    """Print ``data`` as JSON, or what ``human`` prints."""
    if as_json or human is None:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
    else:
        human()


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print rows under headings (``columns``: field -> heading), or the ``empty`` sentence."""
    if not rows:
        out.print(empty)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(text(row.get(field)) for field in columns))
    out.print(grid)


def pairs(values: Mapping[str, Any]) -> None:
    """Print a name and a value a line; empty values are left out."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in values.items():
        if not _empty(value):
            grid.add_row(name, text(value))
    out.print(grid)


def text(value: Any) -> str:
    """A value in one cell; markup characters stay what they are."""
    return "-" if value is None else _plain(value).replace("[", "\\[")


def _plain(value: Any) -> str:
    match value:
        case float():
            return f"{value:.2f}"
        case dict():
            return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items() if not _empty(v))
        case list() | tuple():
            return ", ".join(_plain(item) for item in value)
        case _:
            return str(value)


def _empty(value: Any) -> bool:
    """Whether there is nothing to tell; False and 0 are something."""
    if isinstance(value, dict):
        return all(_empty(inner) for inner in value.values())
    return value is None or value in ("", [], ())


def raw(content: str) -> None:
    """Print text as it is: no markup, no wrapping."""
    sys.stdout.write(content if content.endswith("\n") else content + "\n")
