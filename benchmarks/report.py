"""A table for people and JSON for machines, the same for every benchmark.

Long benchmarks run in parts (``parts_asked``) whose samples add up (``Samples``).
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
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
            figure.unit + "".join(f", {k} {v:.2f}" for k, v in figure.detail.items()),
            figure.against,
            f"{figure.ratio:.2f}" if figure.ratio is not None else "",
            figure.goal + mark,
        )
    Console(width=130).print(table)


def save(name: str, figures: Sequence[Figure], *, add: bool = False) -> Path:
    """Write the figures with what they were measured on; return the file.

    ``add`` keeps what an earlier run measured and this one did not.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    if add:
        taken = {figure.name for figure in figures}
        figures = [*(known for known in saved(name) if known.name not in taken), *figures]
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(about, indent=2) + "\n")
    return path


def saved(name: str) -> list[Figure]:
    """What ``save`` wrote last under this name; empty if it never did."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return []
    return [Figure(**known) for known in json.loads(path.read_text())["figures"]]


def parts_asked(counts: Mapping[str, int], description: str | None) -> tuple[dict[str, int], bool]:
    """What the command line asks for: how often each part runs, and whether samples add up.

    ``PART=COUNT ...`` runs these parts only, all by default; ``--add`` keeps the samples of
    earlier runs, so that a long benchmark can be run piece by piece.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("parts", nargs="*", metavar="PART=COUNT", help=", ".join(counts))
    parser.add_argument("--add", action="store_true", help="keep the samples of earlier runs")
    given = parser.parse_args()
    asked: dict[str, int] = {}
    for word in given.parts:
        part, _, count = word.partition("=")
        if part not in counts or not count.isdigit():
            parser.error(f"{word!r} is not PART=COUNT with a part of {', '.join(counts)}")
        asked[part] = int(count)
    return asked or dict(counts), given.add


class Samples:
    """Measured values by name, kept in a file beside the results; ``add`` adds to earlier runs."""

    def __init__(self, name: str, *, add: bool) -> None:
        self._path = RESULTS / f"{name}.samples.json"
        self._values: dict[str, list[float]] = {}
        if add and self._path.exists():
            self._values = json.loads(self._path.read_text())

    def add(self, part: str, values: Sequence[float]) -> None:
        """Take more of one part and keep them at once: what a later part does is its own."""
        self._values.setdefault(part, []).extend(values)
        RESULTS.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self._values) + "\n")

    def of(self, part: str) -> list[float]:
        """All of one part; empty if it never ran."""
        return self._values.get(part, [])


def spread(name: str, taken: Sequence[float], goal_s: float | None = None) -> Figure:
    """Durations (seconds) by their 99th percentile, with the rest in ``detail``, all in ms."""
    ordered = sorted(taken)
    at_99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return Figure(
        name,
        at_99 * 1000,
        "ms at 99 %",
        goal=f"<= {goal_s * 1000:.0f} ms" if goal_s else "",
        met=at_99 <= goal_s if goal_s else None,
        detail={
            "min": ordered[0] * 1000,
            "median": statistics.median(ordered) * 1000,
            "max": ordered[-1] * 1000,
            "count": len(ordered),
        },
    )


def none(name: str, count: float, of: Mapping[str, float]) -> Figure:
    """Something that must not happen, and how often it could have."""
    return Figure(name, count, "", goal="0", met=count == 0, detail=dict(of))
