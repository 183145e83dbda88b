"""`perfcheck invalidate` against a real NATS."""

import json
import threading
from pathlib import Path
from typing import Any

import nats as nats_client
import pytest
from asgi_isr.events import STREAM
from perfcheck.app import main


async def last_message(url: str, seq: int) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return subject, headers and body of a message in the log."""
    connection = await nats_client.connect(url)
    found = await connection.jetstream().get_msg(STREAM, seq)
    await connection.close()
    return found.subject or "", found.headers or {}, json.loads(found.data or b"")


def run(*arguments: str) -> int:
    """Run the command in a thread of its own: it starts an event loop itself."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(list(arguments))))
    thread.start()
    thread.join(20)
    return codes[0]


async def test_an_event_is_published_and_its_sequence_printed(
    log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the log is what was asked for, with the headers of CloudEvents."""
    names = ["currency:usd", "/pairs/USD/*"]
    assert (
        run("invalidate", *names, "--mode", "soft", "--reason", "why", "--nats-url", log_url) == 0
    )
    word, seq = capsys.readouterr().out.split()
    assert word == "published"
    subject, headers, body = await last_message(log_url, int(seq))
    assert subject == "cache.invalidations.v1.cli"
    assert body == {
        "tags": ["currency:usd"],
        "paths": ["/pairs/USD/*"],
        "mode": "soft",
        "reason": "why",
    }
    assert headers["ce-id"] == headers["Nats-Msg-Id"]


async def test_wait_reports_every_instance(
    log_url: str, serve: Any, make_bff: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --wait the command ends when each instance has applied the event."""
    bffs = [make_bff(), make_bff()]
    for bff in bffs:
        bff.position = 2**60
    options = [part for bff in bffs for part in ("--bff", serve(bff))]
    assert run("invalidate", "a", "--wait", "--nats-url", log_url, *options) == 0
    assert "2/2 tasks applied in " in capsys.readouterr().out


async def test_an_instance_that_is_late_or_silent_is_named(
    log_url: str, serve: Any, make_bff: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, and both the late and the silent instance are named; the good one is counted."""
    good, late = make_bff(), make_bff()
    good.position = 2**60
    urls = [serve(good), serve(late), "http://127.0.0.1:9"]
    options = [part for url in urls for part in ("--bff", url)]
    code = run("invalidate", "a", "--wait", "--timeout", "300ms", "--nats-url", log_url, *options)
    captured = capsys.readouterr()
    assert code == 4
    assert "1/3 tasks applied in " in captured.out
    assert f"{urls[1]} had not applied " in captured.err
    assert f"{urls[2]}/api/cache" in captured.err


async def test_a_log_without_the_stream_is_reported(
    nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event that no stream takes is not published, and the command says so."""
    connection = await nats_client.connect(nats_url)
    stream = connection.jetstream()
    for name in await stream.streams_info():
        # deny_delete forbids single messages, not the stream of this throw-away server
        await stream.delete_stream(name.config.name or "")
    await connection.close()
    assert run("invalidate", "a", "--nats-url", nats_url) == 4
    assert "did not confirm the event" in capsys.readouterr().err


def test_nothing_listening_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address is one line that names it."""
    assert main(["invalidate", "a", "--nats-url", "nats://127.0.0.1:9"]) == 4
    assert capsys.readouterr().err.startswith("perfcheck: NATS at nats://127.0.0.1:9 does not")


def test_without_a_running_stack_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No address and no stack: the command names `perfcheck up`."""
    assert main(["invalidate", "a", "--state", str(tmp_path)]) == 4
    assert "start it with `perfcheck up`" in capsys.readouterr().err
