"""Verdicts and exit codes as tables of cases."""

import math

import pytest
from perfcheck.judge.config import Budget
from perfcheck.judge.metrics import METRICS, Group, of_group
from perfcheck.judge.verdicts import Measurement, Row, Verdict, exit_code, judge, judge_all

AT_MOST = "pages_p99_ms"
AT_LEAST = "hit_rate"


def budget(limit: float, *, warn: float | None = None, samples_min: int = 10) -> Budget:
    """Make a budget."""
    return Budget(limit=limit, warn=warn, samples_min=samples_min)


def row(metric: str, value: float | None, given: Budget, *, samples: int = 10) -> Row:
    """Judge one value."""
    return judge(Measurement(metric=metric, value=value, samples=samples), given)


@pytest.mark.parametrize(
    ("metric", "value", "given", "expected"),
    [
        (AT_MOST, 49.0, budget(50), Verdict.PASS),
        (AT_MOST, 50.0, budget(50), Verdict.PASS),
        (AT_MOST, 50.000001, budget(50), Verdict.FAIL),
        (AT_MOST, math.inf, budget(50), Verdict.FAIL),
        (AT_MOST, 0.0, budget(0), Verdict.PASS),
        (AT_MOST, 45.0, budget(50, warn=45), Verdict.PASS),
        (AT_MOST, 46.0, budget(50, warn=45), Verdict.WARN),
        (AT_MOST, 51.0, budget(50, warn=45), Verdict.FAIL),
        (AT_LEAST, 0.95, budget(0.95), Verdict.PASS),
        (AT_LEAST, 0.949, budget(0.95), Verdict.FAIL),
        (AT_LEAST, 0.96, budget(0.95, warn=0.97), Verdict.WARN),
        (AT_LEAST, 0.98, budget(0.95, warn=0.97), Verdict.PASS),
        (AT_MOST, None, budget(50), Verdict.ERR),
        (AT_MOST, math.nan, budget(50), Verdict.ERR),
    ],
)
def test_verdict_of_a_value(
    metric: str, value: float | None, given: Budget, expected: Verdict
) -> None:
    """A value on its limit passes; beyond it fails; no value and not-a-number are errors."""
    assert row(metric, value, given).verdict is expected


@pytest.mark.parametrize("samples", [0, 9])
def test_too_few_samples_are_an_error_however_good_the_value(samples: int) -> None:
    """Without the samples that the budget asks for there is no verdict, and the row says why."""
    judged = row(AT_MOST, 1.0, budget(50), samples=samples)
    assert judged.verdict is Verdict.ERR
    assert "samples" in judged.measurement.problem


def test_the_reason_of_a_missing_value_is_kept() -> None:
    """Whoever measured nothing says why, and that is what the user reads."""
    missing = Measurement(metric=AT_MOST, value=None, samples=0, problem="k6 made no request")
    assert judge(missing, budget(50)).measurement.problem == "k6 made no request"


@pytest.mark.parametrize(
    ("verdicts", "failures", "expected"),
    [
        ([Verdict.PASS, Verdict.WARN], [], 0),
        ([Verdict.PASS, Verdict.FAIL], [], 1),
        ([Verdict.PASS, Verdict.ERR], [], 3),
        ([Verdict.ERR, Verdict.FAIL], [], 1),
        ([], [], 3),
        ([Verdict.PASS], ["k6 ended with 107"], 4),
        ([Verdict.FAIL, Verdict.ERR], ["k6 ended with 107"], 4),
    ],
)
def test_exit_code_precedence(verdicts: list[Verdict], failures: list[str], expected: int) -> None:
    """A failed tool (4) outranks a broken budget (1), which outranks missing data (3)."""
    measurement = Measurement(metric=AT_MOST, value=1.0, samples=10)
    rows = [Row(verdict=each, measurement=measurement, budget=budget(1)) for each in verdicts]
    assert exit_code(rows, failures) == expected


def test_what_nobody_measured_is_an_error() -> None:
    """Every known metric gets a row; one without a measurement is no pass."""
    rows = judge_all([], {name: budget(1) for name in METRICS})
    assert {each.measurement.metric for each in rows} == set(METRICS)
    assert {each.verdict for each in rows} == {Verdict.ERR}
    assert exit_code(rows, []) == 3


def test_skipped_metrics_have_no_row() -> None:
    """What the user left out is neither passed nor missing."""
    skipped = frozenset(of_group(Group.SERVICE))
    rows = judge_all([], {name: budget(1) for name in METRICS}, skipped=skipped)
    assert not skipped & {each.measurement.metric for each in rows}


def test_failures_come_first() -> None:
    """Rows are ordered FAIL, ERR, warn, pass, so that the top of the table is what matters."""
    names = list(METRICS)
    values = {names[0]: 0.0, names[1]: 9.0, names[5]: 0.7}
    measured = [Measurement(metric=name, value=value, samples=10) for name, value in values.items()]
    given = {name: budget(1, warn=0.5) for name in METRICS}
    rows = judge_all(measured, given)
    order = [each.verdict for each in rows]
    assert order == sorted(order, key=list(Verdict).index)
    assert (order[0], order[-2], order[-1]) == (Verdict.FAIL, Verdict.WARN, Verdict.PASS)
