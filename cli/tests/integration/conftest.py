"""Small real HTTP servers that stand in for services, and a real NATS."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import nats as nats_client
import pytest
from asgi_isr.logs.nats import ensure_stream
from perfcheck_embedded import servers


class Answer(NamedTuple):
    """What a stand-in answers."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


Answering = Callable[[str, str, bytes], Answer]
"""From method, path with query, and request body to an answer; called in many threads."""


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """Make a JSON answer; `cache_tag` becomes the field Cache-Tag."""
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(json.dumps(value).encode(), status, fields)


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
                    answer = answering(self.command, self.path, self.rfile.read(length))
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

                do_GET = do_PUT = _answer  # noqa: N815 -- the names that http.server looks for

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
    """Answers what the command asks of the API: three days, two currencies, one year.

    `writes` are the days written, in order; a day in `refused` is answered with 503.
    """

    days = ("2026-10-28", "2026-10-29", "2026-10-30")

    def __init__(self) -> None:
        self.writes: list[tuple[str, dict[str, float]]] = []
        self.refused: set[str] = set()

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request."""
        name = path.removeprefix("/api/v1/")
        if method == "PUT":
            day = name.removeprefix("days/")
            if day in self.refused:
                return as_json({"title": "no database", "status": 503}, 503)
            self.writes.append((day, json.loads(body)["rates"]))
            return as_json({"day": day})
        if name == "currencies":
            listed = [{"code": code, "last_day": self.days[-1]} for code in ("JPY", "USD")]
            return as_json({"currencies": listed})
        if name.startswith("currencies/"):
            code = name.removeprefix("currencies/")
            return as_json({"code": code}, cache_tag=f"currency:{code.lower()}")
        if name == "years":
            return as_json({"years": [2026]})
        day = self.days[-1] if name == "days/latest" else name.removeprefix("days/")
        position = self.days.index(day)
        rates = [{"code": "JPY", "rate": 160.5}, {"code": "USD", "rate": 1.0853}]
        previous = self.days[position - 1] if position else None
        return as_json({"day": day, "previous": previous, "rates": rates})


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

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request."""
        del method, body
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


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """Run a real NATS for the session and return its address."""
    with servers(postgres=False, valkey=False) as running:
        yield running.nats_url


@pytest.fixture
async def log_url(nats_url: str) -> str:
    """Return the address of a NATS that has the stream of invalidations."""
    connection = await nats_client.connect(nats_url)
    await ensure_stream(connection.jetstream())
    await connection.close()
    return nats_url


class StateFile:
    """Writes `run.json` as `perfcheck up` does, naming this process as the one that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, *, api: str, revalidator: str, bffs: list[str], nats_url: str = "") -> None:
        """Write down what runs."""
        facts = {
            "pid": os.getpid(),
            "started": "2026-11-23T02:45:00+00:00",
            "urls": {"api": api, "revalidator": revalidator, "bff": bffs},
            "nats_url": nats_url,
            "valkey_url": "",
            "database_url": "",
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
