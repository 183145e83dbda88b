"""`perfcheck publisher` on a state directory on which nothing runs; a running one is in `e2e/`."""

from pathlib import Path

import pytest
from perfcheck.app import main


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    """Return the option that names a new state directory."""
    return ["--state", str(tmp_path / "state")]


def test_publishers_are_kept_for_the_next_start(
    state: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is added is listed until it is removed; the first two are there from the start."""
    assert main(["publisher", "add", "crm", *state]) == 0
    assert capsys.readouterr().out == ""
    assert main(["publisher", "list", *state]) == 0
    assert capsys.readouterr().out.split() == ["cli", "shop", "crm"]
    assert main(["publisher", "remove", "crm", *state]) == 0
    capsys.readouterr()
    assert main(["publisher", "list", *state]) == 0
    assert capsys.readouterr().out.split() == ["cli", "shop"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["add", "api"], "expected up to 64 letters"), (["remove", "crm"], "cli, shop")],
)
def test_a_wrong_name_is_refused_with_what_is_expected(
    state: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A service's name is no publisher's, and nobody is removed who is not there."""
    assert main(["publisher", *arguments, *state]) == 4
    assert said in capsys.readouterr().err
