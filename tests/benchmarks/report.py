"""What was measured, as a table for each set and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring import Row
from results import Asked
from tables import TABLES, Table

from dip_engine.processes import free_cores

NOTE = "Seconds include the snapshots that the stop gap is measured on, up to a fifth of the time."

_LIBRARIES = ("torch", "numpy", "pillow", "scikit-image")

Column = tuple[str, str, str]
"""Heading, field of a row, format."""

COLUMNS: tuple[Column, ...] = (
    ("simple", "psnr_simple", ".2f"),
    ("ours", "psnr", ".2f"),
    ("SSIM", "ssim", ".3f"),
    ("start", "psnr_start", ".2f"),
    ("fit", "psnr_fit", ".2f"),
    ("published DIP", "published", ".2f"),
    ("classical", "classical", ".2f"),
    ("stop gap", "stop_gap", ".2f"),
    ("seconds", "seconds", ".1f"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its rows.

    Attributes:
        table: which one.
        rows: with fields of `COLUMNS`, or an ``error``, in the order of the pictures' names.
        total: pictures that the set has.
    """

    table: Table
    rows: tuple[Row, ...]
    total: int

    @property
    def measured(self) -> tuple[Row, ...]:
        """Return the rows without those that failed."""
        return tuple(row for row in self.rows if "error" not in row)

    @property
    def headings(self) -> list[str]:
        """Return the headings of the columns, other methods by their names."""
        named = {"simple": self.table.simple_title}
        if self.table.classical:
            named["classical"] = f"best classical ({self.table.classical_title})"
        return [named.get(heading, heading) for heading, _, _ in COLUMNS]

    @property
    def means(self) -> dict[str, float | None]:
        """Return the mean of each column, None where a picture has no value."""
        return {name: _mean([row.get(name) for row in self.measured]) for _, name, _ in COLUMNS}


def sections(rows: Iterable[Row], data: Path) -> list[Section]:
    """Return the tables that have rows."""
    by_table: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: str(row["picture"])):
        by_table.setdefault(row["set"], []).append(row)
    return [
        Section(table, tuple(by_table[table.name]), len(table.pictures(data)))
        for table in TABLES
        if table.name in by_table
    ]


def cells(values: Row | dict[str, float | None], columns: Sequence[Column] = COLUMNS) -> list[str]:
    """Return the values of columns as text, – for None."""
    texts = []
    for _, name, form in columns:
        value = values.get(name)
        texts.append("–" if value is None else format(value, form))
    return texts


def line(entries: Iterable[str]) -> str:
    """Return a line of a table in Markdown."""
    return f"| {' | '.join(entries)} |"


def count(section: Section) -> str:
    """Return how much of a set the means are of."""
    measured = len(section.measured)
    return str(measured) if measured == section.total else f"{measured} of {section.total}"


def stop_gap(found: Sequence[Section]) -> str:
    """Return a sentence about the stop gaps of all pictures."""
    gaps = {
        f"{row['set']}/{row['picture']}": row["stop_gap"]
        for section in found
        for row in section.measured
    }
    if not gaps:
        return "Nothing was measured."
    worst = max(gaps, key=gaps.__getitem__)
    mean = sum(gaps.values()) / len(gaps)
    pictures = "1 picture" if len(gaps) == 1 else f"{len(gaps)} pictures"
    return f"Stop gap over {pictures}: mean {mean:.2f} dB, worst {gaps[worst]:.2f} dB ({worst})."


def to_markdown(found: Sequence[Section], asked: Asked) -> str:
    """Return a table for each set, and what holds for all."""
    parts = [f"# Reproduction, preset {asked.preset}, seed {asked.seed}"]
    for section in found:
        table = section.table
        lines = [line(["picture", *section.headings])]
        lines.append(line(["---", *("---:" for _ in COLUMNS)]))
        for row in section.rows:
            if "error" in row:
                text = str(row["error"]).replace("|", r"\|").replace("\n", " ")
                lines.append(line([row["picture"], text, *("" for _ in COLUMNS[1:])]))
            else:
                lines.append(line([row["picture"], *cells(row)]))
        if section.measured:
            bold = (text if text == "–" else f"**{text}**" for text in cells(section.means))
            lines.append(line([f"**mean of {count(section)}**", *bold]))
        parts += [f"## {table.title} (`{table.name}`)", "\n".join(lines)]
        parts += [table.note] if table.note else []
    return "\n\n".join([*parts, stop_gap(found), NOTE]) + "\n"


def to_json(found: Sequence[Section], asked: Asked) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "asked": asdict(asked),
        "rows": [row for section in found for row in section.rows],
        "means": {
            section.table.name: {"pictures": len(section.measured), **section.means}
            for section in found
        },
        "versions": versions(),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that make and score a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def machine() -> dict[str, Any]:
    """Return what this computer is."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "free_cores": free_cores(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
