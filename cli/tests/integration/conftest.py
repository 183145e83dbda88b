"""Small real HTTP servers that stand in for services and check tokens as these do."""

import datetime as dt
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
from perfcheck_chassis.identity import TokenError, TokenKeys
from perfcheck_chassis.secret import Secret

TOKEN_KEY = "a key of at least thirty-two bytes"  # noqa: S105 -- of these tests alone


class Answer(NamedTuple):
    """What a stand-in answers."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


class Asked(NamedTuple):
    """What a stand-in is asked; `path` has the query, names of fields are lower case."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


Answering = Callable[[Asked], Answer]
"""From what is asked to an answer; called in many threads."""


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """Make a JSON answer; `cache_tag` becomes the field Cache-Tag."""
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(json.dumps(value).encode(), status, fields)


def problem(status: int, detail: str) -> Answer:
    """Make an answer that says what went wrong (RFC 9457)."""
    return as_json(
        {"type": "about:blank", "title": "no", "status": status, "detail": detail}, status
    )


@pytest.fixture
def serve() -> Iterator[Callable[[Answering], str]]:
    """Return a function that serves HTTP/1.1 with keep-alive and returns the address."""
    with ExitStack() as stack:

        def start(answering: Answering) -> str:
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                disable_nagle_algorithm = True  # else each small answer waits 40 ms
                wbufsize = -1

                def _answer(self) -> None:
                    length = int(self.headers.get("content-length") or 0)
                    fields = {name.lower(): text for name, text in self.headers.items()}
                    body = self.rfile.read(length)
                    answer = answering(Asked(self.command, self.path, body, fields))
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

                do_GET = do_PUT = do_POST = _answer  # noqa: N815 -- the names that http.server looks for

                def log_message(self, *_: object) -> None:
                    """Say nothing."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


class FakeApi:
    """Answers what the command asks of the API: three days, two currencies, one year, receipts.

    `writes` are the days written, in order; a day in `refused` is answered with 503. `events` are
    the invalidations published, by id; `receipts` what is told of them, oldest first. `tasks` are
    the milliseconds of each task, None for one that does not report. `faults` are statuses that
    the next posts are answered with after their work was done, as when an answer is lost.
    """

    days = ("2026-10-28", "2026-10-29", "2026-10-30")

    def __init__(self) -> None:
        self.writes: list[tuple[str, dict[str, float]]] = []
        self.refused: set[str] = set()
        self.events: dict[str, dict[str, Any]] = {}
        self.receipts: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, float | None] = {"bff-1": 4.2, "bff-2": 5.1}
        self.faults: list[int] = []
        self.posts = 0
        self.on_event: Callable[[], None] = lambda: None
        self.page = 2  # receipts of one page at most
        self.tokens = TokenKeys(Secret(TOKEN_KEY))
        self._ids_by_key: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        url = urlsplit(asked.path)
        name = url.path.removeprefix("/api/v1/")
        try:
            if asked.method == "PUT":
                self._require(asked, "rates:write")
                return self._written(name.removeprefix("days/"), json.loads(asked.body)["rates"])
            if asked.method == "POST":
                self._require(asked, "invalidations:write")
                return self._published(asked, dict(parse_qsl(url.query)))
            if name.startswith("invalidations"):
                self._require(asked, "invalidations:read")
                return self._told(name, dict(parse_qsl(url.query)))
        except TokenError as error:
            return problem(401, str(error))
        return self._rates(name)

    def announce(self, event_id: str, names: dict[str, Any]) -> None:
        """Make the receipt of an event that every task but the silent ones has applied."""
        self.events[event_id] = names
        number = len(self.receipts)
        at = dt.datetime(2026, 11, 24, 21, 0, 0, number * 1000, tzinfo=dt.UTC)
        self.receipts[event_id] = {
            "id": event_id,
            "source": "api",
            "stage": "applied",
            "tags": names.get("tags", []),
            "paths": names.get("paths", []),
            "seq": 1000 + number,
            "committed_at": at.isoformat(),
            "published_at": (at + dt.timedelta(milliseconds=1)).isoformat(),
            "applied": self.applied(),
        }
        self.on_event()

    def announce_as(self, source: str, event_id: str, **told: Any) -> None:
        """Make a receipt of another publisher's event, whose id may be one that is in use."""
        self.receipts[f"{event_id} {source}"] = {"id": event_id, "source": source, **told}

    def applied(self) -> dict[str, Any]:
        """Return what the API tells of the tasks."""
        each = {name: time_ms for name, time_ms in self.tasks.items() if time_ms is not None}
        return {
            "instances": len(self.tasks),
            "max_ms": max(each.values(), default=None),
            "missing": [name for name, time_ms in self.tasks.items() if time_ms is None],
            "each": each,
        }

    def _require(self, asked: Asked, scope: str) -> None:
        _, _, token = asked.headers.get("authorization", "").partition(" ")
        self.tokens.verify(token, audience="api", scope=scope)

    def _written(self, day: str, rates: dict[str, float]) -> Answer:
        with self._lock:
            if day in self.refused:
                return problem(503, "no database")
            self.writes.append((day, rates))
            event_id = f"write-{len(self.writes)}"
            self.announce(event_id, {"tags": [f"day:{day}"]})
        listed = [
            {"code": code, "name": code, "rate": rate, "change": None}
            for code, rate in rates.items()
        ]
        return as_json(
            {"day": day, "rates": listed, "previous": None, "next": None, "event_id": event_id}
        )

    def _published(self, asked: Asked, query: dict[str, str]) -> Answer:
        with self._lock:
            self.posts += 1
            key = asked.headers["idempotency-key"]
            if key not in self._ids_by_key:
                self._ids_by_key[key] = event_id = f"event-{len(self.events) + 1}"
                self.announce(event_id, json.loads(asked.body))
            if self.faults:
                return problem(self.faults.pop(0), "try again")
        told: dict[str, Any] = {"id": self._ids_by_key[key], "consistency_token": "t"}
        if query.get("wait") == "applied":
            told["applied"] = self.applied()
        return as_json(told, 202)

    def _told(self, name: str, query: dict[str, str]) -> Answer:
        if "/" in name:
            known = [
                receipt
                for receipt in self.receipts.values()
                if receipt["id"] == name.partition("/")[2]
                and query.get("source", receipt["source"]) == receipt["source"]
            ]
            found = known[0] if known else None
            return problem(404, "no such event") if found is None else as_json(found)
        newest = [
            receipt
            for receipt in reversed(list(self.receipts.values()))
            if query.get("stage", receipt["stage"]) == receipt["stage"]
            and query.get("source", receipt["source"]) == receipt["source"]
            and ("tag" not in query or query["tag"] in receipt.get("tags", []))
        ]
        start = int(query.get("cursor", 0))
        end = start + min(self.page, int(query["limit"]))
        return as_json(
            {
                "receipts": newest[start:end],
                "next": str(end) if end < len(newest) else None,
            }
        )

    def _rates(self, name: str) -> Answer:
        if name == "currencies":
            listed = [
                {
                    "code": code,
                    "name": code,
                    "first_day": self.days[0],
                    "last_day": self.days[-1],
                    "rate": 1.0,
                }
                for code in ("JPY", "USD")
            ]
            return as_json({"currencies": listed})
        if name.startswith("currencies/"):
            code = name.removeprefix("currencies/")
            return as_json({"code": code}, cache_tag=f"currency:{code.lower()}")
        if name == "years":
            return as_json({"years": [2026]})
        day = self.days[-1] if name == "days/latest" else name.removeprefix("days/")
        position = self.days.index(day)
        rates = [
            {"code": code, "name": code, "rate": rate, "change": None}
            for code, rate in (("JPY", 160.5), ("USD", 1.0853))
        ]
        previous = self.days[position - 1] if position else None
        return as_json({"day": day, "previous": previous, "next": None, "rates": rates})


class FakeBff:
    """Serves every page as a hit that holds its own path and some codes.

    `position` is the log position its pages are as new as, and that `/api/cache` reports; an
    instance that is `stuck` keeps its own. `broken` paths are answered without their content.
    """

    def __init__(self, *, stuck: bool = False) -> None:
        self.position = 0
        self.stuck = stuck
        self.broken: set[str] = set()
        self.healthy = True
        self.served = 0

    def apply(self, position: int) -> None:
        """Be as new as an event."""
        if not self.stuck:
            self.position = position

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        path = asked.path
        self.served += 1
        if path.startswith("/api/cache"):
            wanted = path.partition("position=")[2].partition("&")[0]
            applied = None if not wanted else self.position >= int(wanted)
            local = {"pages": 3, "bytes": 1_500_000}
            return as_json(
                {
                    "position": self.position,
                    "applied": applied,
                    "lease_remaining_s": 12.5,
                    "local": local,
                    "counters": {"hits": 7, "misses": 0},
                }
            )
        if path == "/api/health":
            check = {"status": "pass" if self.healthy else "fail", "detail": "no answer", "ms": 1}
            status = "pass" if self.healthy else "fail"
            return as_json(
                {"status": status, "checks": {"valkey": check}}, 200 if self.healthy else 503
            )
        state = f"asgi-isr; hit; ttl=60; fence={self.position}"
        timing = "api;dur=1.5, hop;dur=0.5, render;dur=1"
        text = f"<html>{'' if path in self.broken else path} JPY USD EUR {'x' * 2000}</html>"
        return Answer(text.encode(), 200, {"Cache-Status": state, "Server-Timing": timing})


class StateFile:
    """Writes `run.json` as `perfcheck up` does, naming this process as the one that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, *, api: str, revalidator: str, bffs: list[str]) -> None:
        """Write down what runs."""
        facts = {
            "pid": os.getpid(),
            "started": "2026-11-23T02:45:00+00:00",
            "urls": {"api": api, "revalidator": revalidator, "bff": bffs},
            "nats_url": "",
            "valkey_url": "",
            "database_url": "",
            "token_key": TOKEN_KEY,
            "processes": {f"bff-{n}": os.getpid() for n, _ in enumerate(bffs, start=1)},
        }
        (self.directory / "run.json").write_text(json.dumps(facts))


@pytest.fixture
def fake_api() -> FakeApi:
    """Return a stand-in for the API."""
    return FakeApi()


@pytest.fixture
def make_bff() -> type[FakeBff]:
    """Return the class of stand-ins for a BFF instance."""
    return FakeBff


@pytest.fixture
def state_file(tmp_path: Path) -> StateFile:
    """Return a state directory on which something seems to run."""
    return StateFile(tmp_path)


@pytest.fixture
def fake_run(serve: Any, fake_api: FakeApi, state_file: StateFile) -> Callable[..., list[str]]:
    """Return a function that lets the stand-in run as the stack's API, and returns the option."""

    def run(*bffs: str, revalidator: str = "http://127.0.0.1:9") -> list[str]:
        state_file.write(api=serve(fake_api), revalidator=revalidator, bffs=list(bffs))
        return ["--state", str(state_file.directory)]

    return run


@pytest.fixture
def make_token(fake_api: FakeApi) -> Callable[..., str]:
    """Return a function that signs a token for the stand-in of the API."""

    def sign(*scopes: str, audience: str = "api") -> str:
        return fake_api.tokens.issue(subject="test", audience=audience, scopes=scopes)

    return sign


@pytest.fixture
def answers() -> Callable[..., Answer]:
    """Return `as_json`, for stand-ins in tests."""
    return as_json
