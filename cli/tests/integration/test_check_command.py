"""`perfcheck check` with the real k6 on small servers that stand in for the services."""

import json
from pathlib import Path
from typing import Any

import pytest
from perfcheck.app import main

BUDGETS = """
[load]
rate_per_s = 60
warmup_s = 0.5
[service]
requests_per_round = 4
[budgets]
pages_p50_ms = { max = 1000, samples_min = 20 }
pages_p99_ms = { max = 1000, samples_min = 20 }
pages_per_s_per_task = { min = 5, samples_min = 20 }
hit_rate = { min = 0.95, samples_min = 20 }
error_rate = { max = 0.01, samples_min = 20 }
service_hop_p50_ms = { max = 1, samples_min = 20 }
service_hop_p99_ms = { max = 1, samples_min = 20 }
service_call_p50_ms = { max = 5, samples_min = 20 }
service_call_p99_ms = { max = 5, samples_min = 20 }
"""


@pytest.fixture
def arguments(
    tmp_path: Path, serve: Any, make_bff: Any, fake_api: Any
) -> tuple[list[str], list[Any]]:
    """Return arguments for a short check of two stand-ins, and the stand-ins."""
    config = tmp_path / "budgets.toml"
    config.write_text(BUDGETS)
    bffs = [make_bff(), make_bff()]
    target = [part for bff in bffs for part in ("--bff", serve(bff))]
    options = ["--config", str(config), "--state", str(tmp_path), "--duration", "1500ms"]
    skipped = ["--skip", "cpu", "--skip", "invalidation"]
    return ["check", *options, *target, "--api", serve(fake_api), *skipped], bffs


def test_a_good_target_passes_with_json_on_stdout_and_the_table_on_stderr(
    arguments: tuple[list[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything measured, everything within budget: exit code 0, and how it was measured."""
    code = main([*arguments[0], "--json"])
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert code == 0, captured.err
    assert document["tool_failures"] == []
    values = {metric["metric"]: metric["value"] for metric in document["metrics"]}
    assert values["hit_rate"] == 1.0
    assert values["error_rate"] == 0.0
    assert values["service_hop_p99_ms"] == 0.5
    assert 20 < values["pages_per_s_per_task"] < 32
    assert "cpu_us_per_request" in document["skipped"]
    assert document["run"]["k6"].startswith("k6 v")
    assert document["host"]["cores"] >= 1
    assert captured.err.splitlines()[-1].endswith("exit 0")


def test_wrong_pages_break_the_budget(
    arguments: tuple[list[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A page without its content is an error even with status 200: exit code 1."""
    for bff in arguments[1]:
        bff.broken.add("/days/2026-10-30")
    code = main([*arguments[0], "--skip", "service"])
    table = capsys.readouterr().out
    assert code == 1
    assert table.startswith("FAIL  errors")
    assert "wrong content for a day page" in table


def test_a_limit_given_by_flag_is_the_one_that_counts(
    arguments: tuple[list[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--budget` replaces the file's limit for one run."""
    code = main([*arguments[0], "--skip", "pages", "--budget", "service_hop_p50_ms=0.4"])
    assert code == 1
    assert capsys.readouterr().out.startswith("FAIL  BFF→API hop p50   0.5 ms  budget ≤ 0.4 ms")


def test_a_target_that_does_not_answer_is_a_failed_target(
    arguments: tuple[list[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """One dead instance: no figures are invented, exit code 4, and it is named."""
    code = main([*arguments[0], "--bff", "http://127.0.0.1:9"])
    table = capsys.readouterr().out
    assert code == 4
    assert "http://127.0.0.1:9/ does not answer: Connection refused" in table


def test_what_the_target_does_not_tell_is_missing_data(
    arguments: tuple[list[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without process ids and a token there is no verdict on them: exit code 3, never a pass."""
    named = [part for part in arguments[0] if part not in {"--skip", "cpu", "invalidation"}]
    assert main([*named, "--skip", "service"]) == 3
    table = capsys.readouterr().out
    assert "process ids are unknown" in table
    assert "give one with --token" in table


def test_half_a_target_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Instances without their API cannot be measured: exit code 2 before anything starts."""
    assert main(["check", "--bff", "http://127.0.0.1:9"]) == 2
    assert "--api" in capsys.readouterr().err
