"""What users type: tags, paths, times; what is refused."""

import click
import pytest
from perfcheck.app import DURATION, main
from perfcheck.exits import WrongUsageError
from perfcheck.invalidate import event_of


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
    event = event_of(names, mode="soft", reason="why")
    assert (event.tags, event.paths) == (tags, paths)
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
        event_of(names, mode=mode, reason="")


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
    with pytest.raises(click.BadParameter, match="is no time"):
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
