"""`perfcheck invalidate` against a small API that checks tokens and keys."""

from pathlib import Path
from typing import Any

import pytest
from perfcheck.app import main


def test_what_was_asked_for_is_published_and_its_id_printed(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The running stack's key signs the token; `--soft` is the mode of that name."""
    names = ["currency:usd", "/pairs/USD/*"]
    assert main(["invalidate", *names, "--soft", "--reason", "why", *fake_run()]) == 0
    assert capsys.readouterr().out == "accepted event-1\n"
    assert fake_api.events["event-1"] == {
        "tags": ["currency:usd"],
        "paths": ["/pairs/USD/*"],
        "mode": "soft",
        "reason": "why",
    }


def test_wait_prints_each_tasks_milliseconds(
    fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --wait the command tells how long each task took."""
    assert main(["invalidate", "a", "--wait", *fake_run()]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "accepted event-1",
        "2/2 tasks fresh in 5 ms (bff-1 4, bff-2 5)",
    ]


def test_a_task_that_is_missing_is_named(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4; the good task is counted, the silent one named."""
    fake_api.tasks["bff-2"] = None
    assert main(["invalidate", "a", "--wait", "--timeout", "300ms", *fake_run()]) == 4
    captured = capsys.readouterr()
    assert "1/2 tasks fresh in 4 ms (bff-1 4), missing: bff-2" in captured.out
    assert "not applied everywhere after 0.3 s: bff-2 did not report it" in captured.err


def test_nobody_to_wait_for_is_no_success(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An API that knows of no live task cannot say that all are fresh."""
    fake_api.tasks.clear()
    assert main(["invalidate", "a", "--wait", *fake_run()]) == 4
    assert "knows of no live task" in capsys.readouterr().err


def test_its_own_retry_publishes_nothing_twice(fake_run: Any, fake_api: Any) -> None:
    """Two lost answers: three posts with one key are one event."""
    fake_api.faults += [503, 409]
    assert main(["invalidate", "a", *fake_run()]) == 0
    assert (fake_api.posts, len(fake_api.events)) == (3, 1)


def test_retries_end(fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An API that goes on refusing is reported with its reason after a bounded number of calls."""
    fake_api.faults += [503] * 9
    assert main(["invalidate", "a", *fake_run()]) == 4
    assert fake_api.posts == 4
    assert "answered 503: try again" in capsys.readouterr().err


def test_another_api_needs_a_token_of_its_own(
    serve: Any, fake_api: Any, make_token: Any, fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key of the stack signs nothing for other addresses; a given token is used."""
    state = fake_run()
    other = ["--api", serve(fake_api)]
    assert main(["invalidate", "a", *other, *state]) == 2
    assert "no token for the api: give one with --token" in capsys.readouterr().err
    token = make_token("invalidations:write")
    assert main(["invalidate", "a", *other, "--token", token]) == 0
    assert list(fake_api.events) == ["event-1"]


def test_a_token_that_is_not_accepted_is_told_with_the_reason(
    fake_run: Any, fake_api: Any, make_token: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token without the scope: nothing is published, exit code 4."""
    assert main(["invalidate", "a", "--token", make_token("rates:write"), *fake_run()]) == 4
    assert "does not allow invalidations:write" in capsys.readouterr().err
    assert not fake_api.events


def test_a_text_that_is_no_token_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """A token with a line break would be another header field."""
    assert main(["invalidate", "a", "--api", "http://127.0.0.1:9", "--token", "a\nb"]) == 2
    assert "a token is ASCII" in capsys.readouterr().err


def test_nothing_listening_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address is one line that names it."""
    assert main(["invalidate", "a", "--api", "http://127.0.0.1:9", "--token", "t"]) == 4
    assert capsys.readouterr().err.startswith("perfcheck: http://127.0.0.1:9/api/v1/invalidations")


def test_without_a_running_stack_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No address and no stack: the command names `perfcheck up`."""
    assert main(["invalidate", "a", "--state", str(tmp_path)]) == 4
    assert "start it with `perfcheck up`" in capsys.readouterr().err
