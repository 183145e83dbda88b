"""`perfcheck replay` against a small API."""

from typing import Any

import pytest
from perfcheck.app import main


def test_days_are_written_again_oldest_first(
    serve: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last N days are read and written unchanged, the oldest first, at the given rate."""
    code = main(["replay", "--days", "2", "--rate", "20", "--api", serve(fake_api)])
    rates = {"JPY": 160.5, "USD": 1.0853}
    assert code == 0
    assert fake_api.writes == [("2026-10-29", rates), ("2026-10-30", rates)]
    assert "2/2 days written" in capsys.readouterr().out


def test_fewer_days_than_asked_for_are_all_written(serve: Any, fake_api: Any) -> None:
    """The history ends: then that is all."""
    assert main(["replay", "--days", "99", "--rate", "100", "--api", serve(fake_api)]) == 0
    assert len(fake_api.writes) == 3


def test_a_failed_write_fails_the_command_but_not_the_rest(
    serve: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One refused write: the others are done, the exit code is 4 and the reason is told."""
    fake_api.refused.add("2026-10-29")
    assert main(["replay", "--days", "3", "--rate", "100", "--api", serve(fake_api)]) == 4
    captured = capsys.readouterr()
    assert [day for day, _ in fake_api.writes] == ["2026-10-28", "2026-10-30"]
    assert "2/3 days written" in captured.out
    assert "1 writes failed" in captured.err
    assert "no database" in captured.err


def test_an_api_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing listens: one line, exit code 4."""
    assert main(["replay", "--api", "http://127.0.0.1:9"]) == 4
    assert "http://127.0.0.1:9/api/v1/days/latest does not answer" in capsys.readouterr().err
