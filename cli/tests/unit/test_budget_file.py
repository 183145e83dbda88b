"""The budget file: precedence, and errors that name the key."""

from pathlib import Path

import pytest
from perfcheck.exits import WrongUsageError
from perfcheck.judge import config
from perfcheck.judge.metrics import METRICS, Side

ROOT = Path(__file__).parents[3]


def load(tmp_path: Path, text: str = "", **options: object) -> config.Config:
    """Load with `text` as the directory's own file."""
    if text:
        (tmp_path / "perfcheck.toml").write_text(text)
    given = {"path": None, "directory": tmp_path, "environ": {}, **options}
    return config.load(**given)  # type: ignore[arg-type]  # options of each test


def test_the_shipped_defaults_cover_every_metric(tmp_path: Path) -> None:
    """Outside the repository the command works, and no metric is without a budget."""
    found = load(tmp_path)
    assert set(found.budgets) == set(METRICS)
    assert found.source == "defaults"


def test_the_repository_s_own_file_is_valid_and_complete() -> None:
    """`perfcheck.toml` at the root names a budget for each metric itself."""
    path = ROOT / "perfcheck.toml"
    found = config.load(path=path, directory=ROOT, environ={})
    assert set(found.budgets) == set(METRICS)
    assert all(f"\n{name} = " in path.read_text() for name in METRICS)


def test_the_file_overrides_single_keys_of_the_defaults(tmp_path: Path) -> None:
    """A file that names one limit leaves everything else as shipped."""
    default = load(tmp_path)
    found = load(tmp_path, "[budgets]\npages_p99_ms = { max = 7 }\n[load]\nrate_per_s = 50\n")
    assert found.budgets["pages_p99_ms"].limit == 7
    assert found.budgets["pages_p99_ms"].samples_min == default.budgets["pages_p99_ms"].samples_min
    assert found.load.rate_per_s == 50
    assert found.load.rounds == default.load.rounds


def test_flag_beats_variable_beats_file(tmp_path: Path) -> None:
    """The nearest to the user wins."""
    text = "[budgets]\npages_p99_ms = { max = 7 }\npages_p50_ms = { max = 7 }\n"
    text += "hit_rate = { min = 0.7 }\n"
    environ = {"PERFCHECK_BUDGET_PAGES_P99_MS": "8", "PERFCHECK_BUDGET_PAGES_P50_MS": "8"}
    found = load(tmp_path, text, environ=environ, overrides=["pages_p99_ms=9"]).budgets
    limits = [found[name].limit for name in ("pages_p99_ms", "pages_p50_ms", "hit_rate")]
    assert limits == [9.0, 8.0, 0.7]


def test_the_duration_is_shared_by_the_rounds(tmp_path: Path) -> None:
    """`--duration` replaces the measured time of all rounds together."""
    found = load(tmp_path, duration_s=10.0)
    assert found.load.rounds * found.load.round_s == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schema = 2", "schema"),
        ("[load]\nrate_per_s = 'fast'", "load.rate_per_s: Expected `int`, got `str`"),
        ("[load]\nrate_per_s = 100000", "load.rate_per_s: Expected `int` <= 1000"),
        ("[load]\nrounds = 1", "load.rounds: Expected `int` >= 5"),
        ("[load]\nspeed = 1", "load: Object contains unknown field `speed`"),
        ("load = 3", "load: Expected `object`"),
        ("[invalidation]\ntimeout_s = nan", "invalidation.timeout_s"),
        ("[budgets]\npages_p95_ms = { max = 1 }", "budgets.pages_p95_ms: unknown metric"),
        ("[budgets]\npages_p99_ms = { max = '1' }", "budgets.pages_p99_ms.max: Expected"),
        ("[budgets]\npages_p99_ms = { min = 1 }", "budgets.pages_p99_ms.min: "),
        ("[budgets]\npages_p99_ms = { max = nan }", "budgets.pages_p99_ms.max: "),
        ("[budgets]\npages_p99_ms = { max = -1 }", "budgets.pages_p99_ms.max: "),
        ("[budgets]\npages_p99_ms = { max = 1, warn = 2 }", "budgets.pages_p99_ms.warn: "),
        ("[budgets]\nhit_rate = { min = 0.9, warn = 0.8 }", "budgets.hit_rate.warn: "),
        ("[budgets]\nhit_rate = { samples_min = 0 }", "budgets.hit_rate.samples_min: "),
        ("[budgets]\nhit_rate = 0.9", "budgets.hit_rate: Expected `object`"),
        ("[budgets", "not valid TOML"),
    ],
)
def test_a_mistake_is_reported_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    """Every error names the file and the key, so that it can be fixed without reading code."""
    with pytest.raises(WrongUsageError) as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)
    assert "perfcheck.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "overrides", "expected"),
    [
        ({"PERFCHECK_BUDGET_SPEED": "1"}, [], "PERFCHECK_BUDGET_SPEED: unknown metric"),
        ({"PERFCHECK_BUDGET_HIT_RATE": "much"}, [], "PERFCHECK_BUDGET_HIT_RATE: expected"),
        ({}, ["hit_rate"], "METRIC=VALUE"),
        ({}, ["hit_rate=nan"], "--budget hit_rate=nan: expected"),
        ({}, ["speed=1"], "unknown metric 'speed'"),
    ],
)
def test_a_wrong_override_is_reported_with_its_origin(
    tmp_path: Path, environ: dict[str, str], overrides: list[str], expected: str
) -> None:
    """A mistake in a variable or a flag names that variable or flag."""
    with pytest.raises(WrongUsageError) as caught:
        load(tmp_path, environ=environ, overrides=overrides)
    assert expected in str(caught.value)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A path that was asked for is never silently replaced by defaults."""
    with pytest.raises(WrongUsageError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path, path=tmp_path / "nowhere.toml")


def test_sides_of_the_shipped_limits() -> None:
    """Shares of good answers are limited from below, times and errors from above."""
    at_least = {name for name, metric in METRICS.items() if metric.side is Side.AT_LEAST}
    assert at_least == {"hit_rate", "pages_per_s_per_task"}
