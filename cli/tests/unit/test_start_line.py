"""What `perfcheck up` prints."""

from pathlib import Path

import click
import pytest
from perfcheck.console import Console
from perfcheck.stack.state import Run, Urls
from perfcheck.stack.up import StartLine, addresses, exports
from perfcheck_embedded import Event

RUN = Run(
    pid=1,
    started="2026-11-23T02:45:00+00:00",
    urls=Urls(
        api="http://127.0.0.1:1",
        bff=["http://127.0.0.1:2", "http://127.0.0.1:3"],
        revalidator="http://127.0.0.1:4",
    ),
    nats_url="",
    valkey_url="",
    database_url="",
    processes={"api": 10, "bff-2": 12, "bff-10": 20, "bff-1": 11, "revalidator": 13},
)


def test_what_came_up_is_one_line_with_times() -> None:
    """Servers, one-shots and services, each with the time it took."""
    line = StartLine(Console(colour=False))
    line(Event(kind="starting", name="nats"))
    line(Event(kind="ready", name="nats", duration_s=0.12))
    line(Event(kind="finished", name="migrate", duration_s=0.61))
    assert click.unstyle(line.text()) == "✓ nats 0.1s  ✓ migrate 0.6s"


def test_a_part_that_was_started_anew_is_shown_once() -> None:
    """When a port was taken everything starts again: each part shows its last start."""
    line = StartLine(Console(colour=False))
    for duration_s in (0.1, 0.4):
        line(Event(kind="ready", name="nats", duration_s=duration_s))
    assert click.unstyle(line.text()) == "✓ nats 0.4s"


def test_what_happens_later_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A service that dies and comes back is told, and does not change the line."""
    line = StartLine(Console(colour=False))
    line(Event(kind="ready", name="api", duration_s=1.0))
    line.settle()
    line(Event(kind="exited", name="api", detail="killed by SIGKILL"))
    line(Event(kind="ready", name="api", duration_s=1.0))
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["api: exited: killed by SIGKILL", "api: ready"]
    assert click.unstyle(line.text()) == "✓ api 1.0s"


def test_the_addresses_that_a_user_wants() -> None:
    """Dashboard, pages of every instance, API and its description."""
    assert [line.split() for line in addresses(RUN).splitlines()] == [
        ["dashboard", "http://127.0.0.1:2/perf"],
        ["pages", "bff-1", "http://127.0.0.1:2/"],
        ["pages", "bff-2", "http://127.0.0.1:3/"],
        ["api", "http://127.0.0.1:1/api/v1/currencies"],
        ["OpenAPI", "http://127.0.0.1:1/api/schema"],
    ]


def test_the_variables_of_the_readme_come_ready_to_paste() -> None:
    """Base addresses, and a token that is made where the state is, from any directory."""
    assert exports(RUN, Path("/some where/state"), ["perfcheck"]) == (
        "export BFF=http://127.0.0.1:2 API=http://127.0.0.1:1 "
        "TOKEN=$(perfcheck token --state '/some where/state')"
    )


def test_process_ids_of_the_instances_in_the_order_of_their_numbers() -> None:
    """The tenth instance is not the second."""
    assert RUN.bff_pids() == [11, 12, 20]
