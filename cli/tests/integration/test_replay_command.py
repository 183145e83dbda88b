"""`perfcheck replay` against a small API."""

from pathlib import Path
from typing import Any

import pytest
from perfcheck.app import main


def test_days_are_written_again_oldest_first(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last N days are read and written unchanged, the oldest first, at the given rate."""
    code = main(["replay", "--days", "2", "--rate", "20", *fake_run()])
    rates = {"JPY": 160.5, "USD": 1.0853}
    assert code == 0
    assert fake_api.writes == [("2026-10-29", rates), ("2026-10-30", rates)]
    out = capsys.readouterr().out
    assert "2/2 days written" in out
    assert "2/2 applied everywhere, propagation p50 6.1 ms, p99 6.1 ms" in out


def test_fewer_days_than_asked_for_are_all_written(fake_run: Any, fake_api: Any) -> None:
    """The history ends: then that is all."""
    assert main(["replay", "--days", "99", "--rate", "100", *fake_run()]) == 0
    assert len(fake_api.writes) == 3


def test_a_failed_write_fails_the_command_but_not_the_rest(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One refused write: the others are done, the exit code is 4 and the reason is told."""
    fake_api.refused.add("2026-10-29")
    assert main(["replay", "--days", "3", "--rate", "100", *fake_run()]) == 4
    captured = capsys.readouterr()
    assert [day for day, _ in fake_api.writes] == ["2026-10-28", "2026-10-30"]
    assert "2/3 days written" in captured.out
    assert "1 writes failed" in captured.err
    assert "no database" in captured.err


def test_an_api_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing listens: one line, exit code 4."""
    assert main(["replay", "--api", "http://127.0.0.1:9", "--token", "t"]) == 4
    assert "http://127.0.0.1:9/api/v1/days/latest does not answer" in capsys.readouterr().err


def test_without_a_token_nothing_is_written(
    serve: Any, fake_api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is told before the first day is read."""
    assert main(["replay", "--api", serve(fake_api), "--state", str(tmp_path)]) == 2
    assert "no token for the api" in capsys.readouterr().err
    assert not fake_api.writes


def test_an_event_that_is_dead_is_named(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every day is written, but one event died: exit code 4, its id, day and reason."""

    def kill() -> None:
        receipt = fake_api.receipts.get("write-2")
        if receipt is not None and receipt["stage"] != "dead":
            receipt.update(stage="dead", dead="body: not JSON")
            del receipt["applied"]

    fake_api.on_event = kill
    assert main(["replay", "--days", "3", "--rate", "100", *fake_run()]) == 4
    captured = capsys.readouterr()
    assert "3/3 days written" in captured.out
    assert "2/3 applied everywhere" in captured.out
    assert "write-2 (2026-10-29): dead, body: not JSON" in captured.err
