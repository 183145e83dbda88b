"""`perfcheck dead-letters` against a small revalidator."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from perfcheck.app import main
from perfcheck_contracts import DeadLetter


class FakeRevalidator:
    """Keeps dead letters by number, two on a page; those in `hopeless` cannot be done."""

    def __init__(self, answers: Any, tokens: Any) -> None:
        self.letters = {number: self._letter(number) for number in (3, 5, 8)}
        self.hopeless: set[int] = set()
        self._as_json = answers
        self._tokens = tokens

    def __call__(self, asked: Any) -> Any:
        """Answer a request; a token that is not accepted is an error of the test."""
        token = asked.headers["authorization"].removeprefix("Bearer ")
        self._tokens.verify(token, audience="revalidator", scope="dead-letters")
        url = urlsplit(asked.path)
        if asked.method == "POST":
            found = re.fullmatch(r"/api/v1/dead-letters/(\d+)/retry", url.path)
            assert found
            return self._retry(int(found[1]))
        query = dict(parse_qsl(url.query))
        left = [number for number in sorted(self.letters) if number > int(query.get("after", 0))]
        page = left[: min(2, int(query["limit"]))]
        after = page[-1] if len(left) > len(page) else None
        return self._as_json(
            {"dead_letters": [self.letters[number] for number in page], "next": after}
        )

    def _retry(self, number: int) -> Any:
        if number not in self.letters:
            return self._as_json({"type": "not-found", "title": "no", "status": 404}, 404)
        if number in self.hopeless:
            return self._as_json({"number": number, "done": False, "reason": "no JSON"})
        del self.letters[number]
        return self._as_json({"number": number, "done": True})

    @staticmethod
    def _letter(number: int) -> dict[str, Any]:
        return {
            "number": number,
            "id": f"event-{number}",
            "seq": 1000 + number,
            "subject": "cache.invalidations.v1.shop",
            "reason": "body: not JSON",
            "at": "2026-11-24T21:00:00Z",
            "body": "{tags\x1b[2J",
        }


@pytest.fixture
def revalidator(fake_api: Any, answers: Any) -> FakeRevalidator:
    """Return a stand-in for the revalidator."""
    return FakeRevalidator(answers, fake_api.tokens)


def test_dead_letters_are_listed_with_their_reason(
    revalidator: FakeRevalidator, serve: Any, fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pages, oldest first; what a body holds cannot move the cursor."""
    state = fake_run(revalidator=serve(revalidator))
    assert main(["dead-letters", "list", *state]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        (
            "3  2026-11-24 21:00:00Z  body: not JSON  "
            "(event-3, cache.invalidations.v1.shop, 1003 in the log)"
        ),
        "   {tags [2J",
    ]
    assert [line.split()[0] for line in lines[::2]] == ["3", "5", "8"]
    assert main(["dead-letters", "list", "--json", "--limit", "1", *state]) == 0
    (letter,) = json.loads(capsys.readouterr().out)["dead_letters"]
    assert letter["number"] == 3
    assert set(letter) == set(DeadLetter.__struct_fields__)


def test_all_are_retried_and_those_that_stay_dead_are_named(
    revalidator: FakeRevalidator, serve: Any, fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each one's outcome on stdout, exit code 4 while one is dead, 0 when none is left."""
    revalidator.hopeless.add(5)
    state = fake_run(revalidator=serve(revalidator))
    assert main(["dead-letters", "retry", "--all", *state]) == 4
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["3  done", "5  still dead: no JSON", "8  done"]
    assert "1 of 3 dead letters failed again" in captured.err
    revalidator.hopeless.clear()
    assert main(["dead-letters", "retry", "5", *state]) == 0
    assert main(["dead-letters", "retry", "--all", *state]) == 0
    assert "no dead letters" in capsys.readouterr().err


def test_a_number_that_is_not_there_is_told(
    revalidator: FakeRevalidator, serve: Any, fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One unknown number does not keep the others from being retried."""
    state = fake_run(revalidator=serve(revalidator))
    assert main(["dead-letters", "retry", "4", "8", *state]) == 4
    assert capsys.readouterr().out.splitlines() == [
        "4  is not a dead letter (any more)",
        "8  done",
    ]


def test_a_revalidator_that_is_down_is_named(
    fake_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, and the address."""
    assert main(["dead-letters", "list", *fake_run()]) == 4
    assert "http://127.0.0.1:9/api/v1/dead-letters" in capsys.readouterr().err
