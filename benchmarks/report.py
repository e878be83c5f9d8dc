"""A table for people and JSON for machines, the same for every benchmark."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured line. ``ratio`` compares ``value`` with the line named by ``against``."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    detail: dict[str, float] = field(default_factory=dict)


def show(title: str, figures: Sequence[Figure]) -> None:
    table = Table(title=title)
    for column, justify in (
        ("what", "left"),
        ("figure", "right"),
        ("unit", "left"),
        ("against", "left"),
        ("ratio", "right"),
        ("goal", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        mark = {True: " met", False: " MISSED", None: ""}[figure.met]
        table.add_row(
            figure.name,
            f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}",
            figure.unit + "".join(f", {k} {v:.1f}" for k, v in figure.detail.items()),
            figure.against,
            f"{figure.ratio:.2f}" if figure.ratio is not None else "",
            figure.goal + mark,
        )
    Console(width=130).print(table)


def save(name: str, figures: Sequence[Figure]) -> Path:
    """Write the figures with what they were measured on; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(about, indent=2) + "\n")
    return path
