"""What a benchmark found, as a table to read or JSON to keep."""

import os
import platform
from datetime import UTC, datetime
from typing import NamedTuple

from asgi_isr.ports import SystemClock

Value = str | int | float


class BenchmarkError(Exception):
    """Something is missing, or answered otherwise than it should: no figure would be true."""


class Report(NamedTuple):
    """One table: rows with the same columns, the unit last in a column's name, and notes."""

    title: str
    rows: list[dict[str, Value]]
    notes: tuple[str, ...] = ()


def rounded(value: float) -> float:
    """Return `value` with three significant digits, or whole from 100 on."""
    return float(f"{value:.3g}") if abs(value) < 100 else float(round(value))  # noqa: PLR2004  as said


def machine() -> dict[str, Value]:
    """Return where and when this was measured."""
    return {
        "date": datetime.fromtimestamp(SystemClock.wall(), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
    }


def table(report: Report) -> str:
    """Return the report as text: numbers to the right, words to the left."""
    columns = list(report.rows[0]) if report.rows else []
    cells = [[_text(row[column]) for column in columns] for row in report.rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [f"== {report.title}"]
    for line in (columns, *cells):
        padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        padded[0] = line[0].ljust(widths[0])
        lines.append("  ".join(padded).rstrip())
    return "\n".join([*lines, *(f"- {note}" for note in report.notes), ""])


def _text(value: Value) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else value
