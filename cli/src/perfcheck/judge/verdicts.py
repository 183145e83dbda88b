"""From a measurement and its budget to a verdict, and from all verdicts to the exit code. Pure.

No data is an error, never a pass: a metric without a value, with a value that is not a number, or
with fewer samples than its budget asks for is `ERR`.
"""

import enum
import math
from collections.abc import Mapping, Sequence

import msgspec

from perfcheck import exits
from perfcheck.judge.config import Budget
from perfcheck.judge.metrics import METRICS, Side


class Verdict(enum.Enum):
    """The outcome of one metric, worst first."""

    FAIL = "FAIL"
    ERR = "ERR"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 -- a verdict, not a password


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One metric as measured.

    `value` is None when nothing could be measured, with `problem` saying why; an infinite value
    says that a time limit was reached. `samples` counts what the value was made of. `detail` is
    shown beside the verdict.
    """

    metric: str
    value: float | None
    samples: int
    problem: str = ""
    detail: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One judged metric: a line of the table and an object of the JSON report."""

    verdict: Verdict
    measurement: Measurement
    budget: Budget


def judge(measurement: Measurement, budget: Budget) -> Row:
    """Judge one measurement; a value exactly on its limit passes."""
    verdict, reason = _verdict(measurement, budget)
    judged = msgspec.structs.replace(measurement, problem=reason or measurement.problem)
    return Row(verdict=verdict, measurement=judged, budget=budget)


def judge_all(
    measurements: Sequence[Measurement],
    budgets: Mapping[str, Budget],
    *,
    skipped: frozenset[str] = frozenset(),
) -> list[Row]:
    """Judge every known metric that is not skipped, failures first; one not measured is ERR."""
    measured = {measurement.metric: measurement for measurement in measurements}
    rows = [
        judge(
            measured.get(name)
            or Measurement(metric=name, value=None, samples=0, problem="not measured"),
            budgets[name],
        )
        for name in METRICS
        if name not in skipped
    ]
    worst_first = list(Verdict)
    return sorted(rows, key=lambda row: worst_first.index(row.verdict))


def exit_code(rows: Sequence[Row], tool_failures: Sequence[str]) -> int:
    """Return the exit code of a check.

    A target or tool that failed (4) outranks a broken budget (1), since its figures cannot be
    trusted; a broken budget outranks missing data (3). No rows at all is missing data.
    """
    if tool_failures:
        return exits.FAILED
    verdicts = {row.verdict for row in rows}
    if Verdict.FAIL in verdicts:
        return exits.BUDGET
    if Verdict.ERR in verdicts or not rows:
        return exits.NO_DATA
    return exits.PASS


def _verdict(measurement: Measurement, budget: Budget) -> tuple[Verdict, str]:
    """Return the verdict and, when it is ERR, the reason."""
    value = measurement.value
    if value is None or measurement.samples == 0:
        return Verdict.ERR, measurement.problem or "no samples"
    if math.isnan(value):
        return Verdict.ERR, "the value is not a number"
    if measurement.samples < budget.samples_min:
        return Verdict.ERR, f"{measurement.samples} samples, at least {budget.samples_min} needed"
    at_most = METRICS[measurement.metric].side is Side.AT_MOST
    if _beyond(value, budget.limit, at_most=at_most):
        return Verdict.FAIL, ""
    if budget.warn is not None and _beyond(value, budget.warn, at_most=at_most):
        return Verdict.WARN, ""
    return Verdict.PASS, ""


def _beyond(value: float, limit: float, *, at_most: bool) -> bool:
    return value > limit if at_most else value < limit
