"""Raw k6 output, as k6 1.1.0 writes it, into samples and measurements."""

import json

import pytest
from perfcheck.check.k6 import errors_in
from perfcheck.check.pages import judgeable
from perfcheck.check.samples import Load, PageSample, parse
from perfcheck.exits import TargetError
from perfcheck.judge.config import Load as LoadSettings
from perfcheck.judge.verdicts import Measurement

SETTINGS = LoadSettings(rate_per_s=10, warmup_s=1.0, rounds=5, round_s=1.0, vus_max=5)
DECLARATION = (
    b'{"type":"Metric","data":{"name":"page","type":"trend","contains":"time","thresholds":[],'
    b'"submetrics":null},"metric":"page"}\n'
)


def point(metric: str, value: float, *, second: float = 0.0, **tags: str) -> bytes:
    """Write a point as k6 does."""
    stamp = f"2026-11-23T02:45:{second:09.6f}Z"
    data = {"time": stamp, "value": value, "tags": tags}
    return json.dumps(
        {"metric": metric, "type": "Point", "data": data}, separators=(",", ":")
    ).encode()


def page_point(value: float = 1.5, *, second: float = 0.0, **tags: str) -> bytes:
    """Write a point of the scenario's own metric."""
    usual = {"instance": "0", "kind": "pair", "code": "200", "cache": "hit", "right": "yes"}
    return point("page", value, second=second, **{**usual, **tags})


def page(at_s: float, duration_ms: float = 2.0, **different: object) -> PageSample:
    """Make a sample at a time."""
    usual: dict[str, object] = {
        "instance": "0",
        "kind": "pair",
        "status": "200",
        "cache": "hit",
        "right": True,
    }
    return PageSample(at_s=at_s, duration_ms=duration_ms, **{**usual, **different})  # type: ignore[arg-type]  # see keys above


def measured(load: Load, *, instances: int = 1) -> dict[str, Measurement]:
    """Judge a run, by metric."""
    return {each.metric: each for each in judgeable(load, SETTINGS, instances=instances)}


def test_pages_and_counts_are_read_and_the_rest_is_passed_over() -> None:
    """Only the scenario's own metric and k6's counts of iterations matter."""
    lines = [
        DECLARATION,
        page_point(1.25, second=1.5, instance="1", cache="stale"),
        point("http_req_duration", 3.0),
        point("iterations", 1),
        point("dropped_iterations", 4),
        b"\n",
    ]
    load = parse(lines)
    assert load.iterations == 1
    assert load.dropped == 4
    (found,) = load.pages
    assert (found.duration_ms, found.instance, found.cache, found.right) == (
        1.25,
        "1",
        "stale",
        True,
    )
    assert found.at_s % 60 == pytest.approx(1.5)


def test_an_exception_in_each_iteration_is_seen() -> None:
    """k6 ends with 0 when every iteration throws; iterations without a page give it away."""
    load = parse([point("iterations", 1), point("iterations", 1)])
    assert load.without_page == 2
    assert load.pages == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"metric":"page","type":"Point","data":{"time":"2026-11-23T02:4',
        b'{"metric":"page","type":"Point","data":{"time":"2026-11-23T02:45:00Z","value":1,"tags":{}}}',
        b'{"metric":"page","type":"Point","data":{"time":"today","value":1,"tags":{}}}',
    ],
)
def test_output_that_cannot_be_read_is_an_error(line: bytes) -> None:
    """A truncated file or another format is a failed tool, with the line's number."""
    with pytest.raises(TargetError, match="line 2"):
        parse([b"\n", line])


def test_errors_of_the_log_are_found() -> None:
    """Exceptions stand in the log as errors; warnings about single requests are none."""
    log = (
        b'{"level":"warning","msg":"Request Failed"}\n'
        b'{"level":"error","msg":"Error: boom\\n\\tat default (file:///x.js:4:1)\\n"}\n'
        b"panic: not JSON\n"
    )
    assert errors_in(log) == ["Error: boom at default (file:///x.js:4:1)", "panic: not JSON"]


def test_a_run_without_samples_has_no_values() -> None:
    """No request is missing data for every metric of the group, with the reason."""
    found = measured(Load(pages=[], iterations=0, dropped=0))
    assert all(each.value is None for each in found.values())
    assert {each.problem for each in found.values()} == {"k6 made no request"}


def test_warm_up_is_left_out_and_shares_are_of_the_rest() -> None:
    """Ten requests a second for five rounds after one second of warm-up, two of them bad."""
    pages = [page(100 + n / 10) for n in range(60)]
    pages[0] = page(100.0, 9999.0, right=False)  # warm-up
    pages[20] = page(102.0, 9999.0, status="503", right=False, cache="none")
    pages[30] = page(103.0, cache="miss")
    found = measured(Load(pages=pages, iterations=60, dropped=0), instances=2)
    assert found["error_rate"].value == pytest.approx(1 / 50)
    assert found["error_rate"].detail == "first: status 503 for a pair page of instance 1"
    assert found["hit_rate"].value == pytest.approx(48 / 50)
    assert found["pages_p99_ms"].value == 2.0  # a wrong answer's time is no page's time
    assert found["pages_per_s_per_task"].value == pytest.approx(49 / 5 / 2)
    assert found["pages_p50_ms"].samples == 49


def test_a_gap_of_a_whole_round_is_missing_data() -> None:
    """A round in which nothing came back must not vanish from the median."""
    pages = [page(100 + n / 10) for n in range(60) if not 20 <= n < 30]
    found = measured(Load(pages=pages, iterations=50, dropped=0))
    assert found["pages_p99_ms"].value is None
    assert found["pages_p99_ms"].problem == "round 2 of 5 has no samples"
