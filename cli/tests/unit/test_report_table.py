"""The table for people and the JSON for machines."""

import json
import math

import click
from perfcheck.judge.config import Budget
from perfcheck.judge.metrics import METRICS
from perfcheck.judge.report import BudgetReport, as_json, table
from perfcheck.judge.verdicts import Measurement, exit_code, judge_all

VALUES: dict[str, float | None] = {
    **dict.fromkeys(METRICS, 1.0),
    "pages_p99_ms": 123.4,
    "invalidation_max_ms": math.inf,
    "service_hop_p50_ms": None,
    "hit_rate": 0.97,
    "error_rate": 0.0,
}


def report(values: dict[str, float | None], *, failures: tuple[str, ...] = ()) -> BudgetReport:
    """Judge the values against limits of 5 (95 % and 1/s where more is better)."""
    limits = dict.fromkeys(METRICS, 5.0) | {"hit_rate": 0.95, "pages_per_s_per_task": 1.0}
    budgets = {
        name: Budget(
            limit=limit, warn=0.96 if name == "cpu_us_per_request" else None, samples_min=1
        )
        for name, limit in limits.items()
    }
    measured = [Measurement(metric=name, value=value, samples=20) for name, value in values.items()]
    rows = judge_all(measured, budgets)
    return BudgetReport(
        rows=rows,
        tool_failures=list(failures),
        skipped=[],
        exit_code=exit_code(rows, failures),
        started="2026-11-23T02:45:00+00:00",
        duration_s=31.4,
        host={"cores": 2},
        run={"budgets": "perfcheck.toml"},
    )


def test_failures_stand_first_and_the_verdict_leftmost() -> None:
    """Whoever reads only the top left corner knows what is wrong."""
    lines = click.unstyle(table(report(VALUES))).splitlines()
    verdicts = [line.split()[0] for line in lines[:-1]]
    assert verdicts == ["FAIL"] * 2 + ["ERR"] + ["warn"] + ["pass"] * (len(METRICS) - 4)


def test_a_row_shows_value_budget_unit_and_samples() -> None:
    """Each row has everything needed to judge the judgement."""
    text = click.unstyle(table(report(VALUES)))
    (line,) = [line for line in text.splitlines() if "cached page p99" in line]
    assert line.split("  ")[0] == "FAIL"
    for part in ("123 ms", "budget ≤ 5 ms", "n 20"):
        assert part in line


def test_shares_times_out_and_missing_values_are_readable() -> None:
    """A share is shown in percent, an infinite time as such, no value as a dash."""
    text = click.unstyle(table(report(VALUES)))
    assert "97 %" in text
    assert "budget ≥ 95 %" in text
    assert "timed out" in text
    assert any(line.startswith("ERR") and " -  " in line for line in text.splitlines())


def test_the_summary_counts_and_names_the_exit_code() -> None:
    """The last line is the whole story."""
    assert click.unstyle(table(report(VALUES))).splitlines()[-1] == (
        "✗ 2 failed, 1 without data, 1 close to the limit, 8 pass · 31 s · exit 1"
    )


def test_a_failed_tool_is_shown_with_its_reason() -> None:
    """k6's own words reach the user, and the exit code says that the tool failed."""
    text = click.unstyle(table(report(VALUES, failures=("k6 ended with 107: Error: init",))))
    assert "ERR   k6 ended with 107: Error: init" in text
    assert text.splitlines()[-1].startswith("✗ 1 tool or target failed, 2 failed")
    assert text.endswith("exit 4")


def test_json_says_the_same_in_numbers() -> None:
    """The document has a schema version, null for what is no number, and shares as fractions."""
    document = json.loads(as_json(report(VALUES)))
    assert document["schema_version"] == 1
    assert document["exit_code"] == 1
    assert document["host"] == {"cores": 2}
    metrics = {metric["metric"]: metric for metric in document["metrics"]}
    assert set(metrics) == set(METRICS)
    assert metrics["hit_rate"]["value"] == 0.97
    assert metrics["hit_rate"]["budget"] == {"min": 0.95, "samples_min": 1}
    assert metrics["invalidation_max_ms"]["value"] is None
    assert metrics["invalidation_max_ms"]["verdict"] == "FAIL"
