"""What users type: tags, paths, times; what is refused."""

import datetime as dt

import click
import pytest
from perfcheck import environment
from perfcheck.app import main
from perfcheck.events.invalidate import write_of
from perfcheck.exits import WrongUsageError
from perfcheck.options import DURATION, Since


@pytest.mark.parametrize(
    ("names", "tags", "paths"),
    [
        (["currency:usd"], ("currency:usd",), ()),
        (["/pairs/USD/JPY"], (), ("/pairs/USD/JPY",)),
        (["/pairs/USD/*"], (), ("/pairs/USD/*",)),
        (["*"], ("*",), ()),
        (["a", "/", "b", "/years/*"], ("a", "b"), ("/", "/years/*")),
    ],
)
def test_names_become_tags_and_paths(
    names: list[str], tags: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    """What starts with a slash is a path, everything else a tag, `*` the tag of everything."""
    event = write_of(names, mode="soft", reason="why")
    assert (event.tags, event.paths) == (list(tags), list(paths))
    assert (event.mode, event.reason) == ("soft", "why")


@pytest.mark.parametrize(
    ("names", "mode", "expected"),
    [
        (["a b"], "hard", r"tags\[0\]"),
        (["ok", "a,b"], "hard", r"tags\[1\]"),
        (["x" * 257], "hard", "256"),
        (["/a?b=1"], "hard", r"paths\[0\]"),
        ([""], "hard", r"tags\[0\]"),
        (["a"], "softly", "mode: 'softly'"),
    ],
)
def test_an_event_that_must_not_be_published_is_refused(
    names: list[str], mode: str, expected: str
) -> None:
    """The refusal names the field and the reason."""
    with pytest.raises(WrongUsageError, match=expected):
        write_of(names, mode=mode, reason="")


def test_a_refused_event_exits_with_2_before_anything_is_looked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong tag is wrong usage even when no stack runs."""
    assert main(["invalidate", "a b", "--state", "/nonexistent"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("perfcheck: tags[0]: ")


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5.0), ("500ms", 0.5), ("2m", 120.0), ("1.5", 1.5), (" 3S ", 3.0)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    """A time has a unit, or is a number of seconds."""
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0", "-1s", "1h", "1,5s", "nan", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Zero, negative and unknown units are mistakes."""
    with pytest.raises(click.BadParameter, match="is not a time"):
        DURATION.convert(text, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["invalidate"],
        ["up", "--bffs", "0"],
        ["replay", "--rate", "0"],
        ["replay", "--rate", "nan"],
        ["check", "-x"],
        ["receipts", "some-id", "--watch"],
        ["receipts", "some-id", "--stage", "dead"],
        ["receipts", "--stage", "lost"],
        ["receipts", "--since", "yesterday"],
        ["dead-letters", "retry"],
        ["dead-letters", "retry", "7", "--all"],
        ["dead-letters", "retry", "0"],
        ["token", "--scope", "everything"],
        ["token", "--lifetime-s", "3601"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The refusals of click itself have the same exit code, and leave stdout alone."""
    assert main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_help_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Help names every command."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("up", "check", "invalidate", "ingest", "replay", "status", "migrate"):
        assert command in out
    for command in ("receipts", "dead-letters", "token"):
        assert command in out


def test_a_moment_is_read_with_its_offset() -> None:
    """Without an offset it is in UTC, with one it stays as it is."""
    assert Since().convert("2026-11-24T21:00", None, None) == "2026-11-24T21:00:00.000+00:00"
    assert Since().convert("2026-11-24T21:00+02:00", None, None) == "2026-11-24T21:00:00.000+02:00"


@pytest.mark.parametrize(("text", "passed_s"), [("10m", 600), ("2h", 7200), ("1.5s", 1.5)])
def test_a_time_ago_is_a_moment(text: str, passed_s: float) -> None:
    """A number with a unit counts back from now."""
    before = environment.utc_now()
    moment = dt.datetime.fromisoformat(Since().convert(text, None, None))
    passed = dt.timedelta(seconds=passed_s)
    slack = dt.timedelta(milliseconds=1)  # the value is in whole ones
    assert before - passed - slack <= moment <= environment.utc_now() - passed


@pytest.mark.parametrize("text", ["", "soon", "10", "5 apples", "999999999d", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """What cannot be read is named, with examples."""
    with pytest.raises(click.BadParameter, match="is not a time"):
        Since().convert(text, None, None)
