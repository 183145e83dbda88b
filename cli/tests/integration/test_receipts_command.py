"""`perfcheck receipts` against a small API."""

import json
from typing import Any

import pytest
from perfcheck.api import Api
from perfcheck.app import main
from perfcheck.events.propagation import Propagation
from perfcheck.events.receipts import Changes
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.stack.state import Service
from perfcheck.stack.tokens import Tokens


def test_one_receipt_is_a_timeline(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id shows what became of that event, with each task."""
    fake_api.announce("one", {"tags": ["currency:usd"]})
    assert main(["receipts", "one", *fake_run()]) == 0
    out = capsys.readouterr().out
    assert "published  +1.0 ms  seq 1000 in the log" in out
    assert "bff-2 +5.1 ms" in out


def test_a_source_says_whose_event_is_meant(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publishers may use the same id: the receipt shown is of the source that was asked for."""
    fake_api.announce("one", {"tags": ["currency:usd"]})
    fake_api.announce_as("shop", "one", stage="dead", dead="unreadable")
    for source, shown in (("shop", "unreadable"), ("api", "currency:usd")):
        assert main(["receipts", "one", "--source", source, *fake_run()]) == 0
        assert shown in capsys.readouterr().out
    assert main(["receipts", "one", "--source", "cli", *fake_run()]) == 4
    assert "no receipt of 'one' from 'cli'" in capsys.readouterr().err


async def test_the_id_of_a_followed_event_in_another_source_is_not_its_receipt(
    serve: Any, fake_api: Any, make_token: Any
) -> None:
    """What another publisher's event of the same id became says nothing of the event of the api."""
    fake_api.announce_as("shop", "one", stage="applied", applied=fake_api.applied())
    async with Http(timeout_s=5.0) as http:
        token = make_token("invalidations:read")
        propagation = Propagation(
            Api(http, Service(url=serve(fake_api), tokens=Tokens(given=token)))
        )
        propagation.expect("one", "a day")
        await propagation.settle(0)
        assert propagation.missing() == ["one (a day): no receipt"]
        fake_api.announce("one", {"tags": ["a"]})
        await propagation.settle(0)
    assert propagation.missing() == []


def test_an_unknown_id_is_no_data_lost_in_silence(
    fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4 and the id."""
    assert main(["receipts", "nothing/here", *fake_run()]) == 4
    assert "no receipt of 'nothing/here'" in capsys.readouterr().err


def test_the_newest_come_over_several_pages(
    fake_run: Any, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit is kept although the API gives less at once; JSON is the same receipts."""
    for number in range(7):
        fake_api.announce(f"event-{number}", {"tags": [f"tag:{number}"]})
    state = fake_run()
    assert main(["receipts", "--limit", "5", *state]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [f"event-{n}" for n in (6, 5, 4, 3, 2)]
    assert main(["receipts", "--tag", "tag:3", "--json", *state]) == 0
    found = json.loads(capsys.readouterr().out)["receipts"]
    assert [receipt["id"] for receipt in found] == ["event-3"]


def test_no_receipts_are_told_on_stderr(fake_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to show leaves stdout empty."""
    assert main(["receipts", *fake_run()]) == 0
    assert capsys.readouterr() == ("", "no receipts\n")


async def test_a_watch_tells_what_is_new_and_what_went_on(
    serve: Any, fake_api: Any, make_token: Any
) -> None:
    """Each look returns the receipts that are new or changed, oldest first, over several pages."""
    fake_api.announce("before", {"tags": ["a"]})
    changes = Changes()
    async with Http(timeout_s=5.0) as http:
        token = make_token("invalidations:read")
        api = Api(http, Service(url=serve(fake_api), tokens=Tokens(given=token)))

        async def look() -> list[str]:
            return [receipt.id for receipt in await changes.look(api, {})]

        assert await look() == ["before"]
        assert await look() == []
        for number in range(5):
            fake_api.announce(f"new-{number}", {"tags": ["a"]})
        assert await look() == [f"new-{number}" for number in range(5)]
        fake_api.receipts["new-4"]["stage"] = "done"
        assert await look() == ["new-4"]
        fake_api.announce_as("shop", "new-4", stage="dead")
        assert await look() == ["new-4"]
        assert await look() == []
        assert not changes.overrun


async def test_a_watch_with_a_wrong_token_ends_at_once(serve: Any, fake_api: Any) -> None:
    """An error that stays is not waited out."""
    async with Http(timeout_s=5.0) as http:
        api = Api(http, Service(url=serve(fake_api), tokens=Tokens(given="nonsense")))
        with pytest.raises(TargetError, match="401"):
            await Changes().look(api, {})
