"""The report of a check: a table for people, JSON for machines. Pure."""

import math
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from perfcheck.judge.metrics import METRICS, Side
from perfcheck.judge.verdicts import Row, Verdict

SCHEMA_VERSION = 1
_COLOURS = {
    Verdict.FAIL: "red",
    Verdict.ERR: "red",
    Verdict.WARN: "yellow",
    Verdict.PASS: "green",
}


class BudgetReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a check found. `run` tells how it was measured, `host` where."""

    rows: list[Row]
    tool_failures: list[str]
    skipped: list[str]
    exit_code: int
    started: str
    duration_s: float
    host: Mapping[str, Any]
    run: Mapping[str, Any]


def table(report: BudgetReport) -> str:
    """Return the table: verdict leftmost, failures first, then a summary line."""
    lines = [_cells(row) for row in report.rows]
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(5)]
    text = []
    for row, line in zip(report.rows, lines, strict=True):
        verdict, title, value, budget, samples, detail = line
        cells = [
            click.style(verdict.ljust(widths[0]), fg=_COLOURS[row.verdict]),
            title.ljust(widths[1]),
            value.rjust(widths[2]),
            budget.ljust(widths[3]),
            samples.ljust(widths[4]),
            detail,
        ]
        text.append("  ".join(cells).rstrip())
    text += [click.style(f"ERR   {failure}", fg="red") for failure in report.tool_failures]
    text.append(summary(report))
    return "\n".join(text)


def summary(report: BudgetReport) -> str:
    """Return one line: how many of each verdict, and the exit code."""
    counts = dict.fromkeys(Verdict, 0)
    for row in report.rows:
        counts[row.verdict] += 1
    words = {
        Verdict.FAIL: "failed",
        Verdict.ERR: "without data",
        Verdict.WARN: "close to the limit",
        Verdict.PASS: "pass",
    }
    parts = [
        f"{count} {words[verdict]}"
        for verdict, count in counts.items()
        if count or verdict is Verdict.PASS
    ]
    if report.tool_failures:
        parts.insert(0, f"{len(report.tool_failures)} tool or target failed")
    if report.skipped:
        parts.append(f"{len(report.skipped)} skipped")
    mark = "✓" if report.exit_code == 0 else "✗"
    return f"{mark} {', '.join(parts)} · {report.duration_s:.0f} s · exit {report.exit_code}"


def as_json(report: BudgetReport) -> str:
    """Return the report as one JSON document; `value` is null for no value or a time limit."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": report.exit_code,
        "started": report.started,
        "duration_s": round(report.duration_s, 3),
        "metrics": [_object(row) for row in report.rows],
        "tool_failures": report.tool_failures,
        "skipped": report.skipped,
        "run": report.run,
        "host": report.host,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    measured = row.measurement
    metric = METRICS[measured.metric]
    sign = "≤" if metric.side is Side.AT_MOST else "≥"
    return (
        row.verdict.value,
        metric.title,
        _quantity(measured.value, metric.unit),
        f"budget {sign} {_quantity(row.budget.limit, metric.unit)}",
        f"n {measured.samples}",
        " · ".join(text for text in (measured.problem, measured.detail) if text),
    )


def _quantity(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "timed out"
    if unit == "%":
        return f"{value * 100:.4g} %"
    return f"{value:.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"  # noqa: PLR2004 -- three digits either way


def _object(row: Row) -> dict[str, Any]:
    measured = row.measurement
    metric = METRICS[measured.metric]
    finite = measured.value is not None and math.isfinite(measured.value)
    return {
        "metric": measured.metric,
        "title": metric.title,
        "verdict": row.verdict.value,
        "value": measured.value if finite else None,
        "unit": "fraction" if metric.unit == "%" else metric.unit,
        "budget": {metric.side.value: row.budget.limit, "samples_min": row.budget.samples_min},
        "samples": measured.samples,
        "problem": measured.problem,
        "detail": measured.detail,
    }
