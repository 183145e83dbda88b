"""Real servers, the full data once, a copy of it for each test that writes, and an ASGI client."""

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import msgspec
import psycopg
import pytest
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import close, connect, ensure_stream
from asgi_isr.testing import eventually, eventually_sync
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from perfcheck_api.app import create_app
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.ingest.load import Summary, ingest
from perfcheck_api.ingest.source import packaged_source
from perfcheck_api.migrations.migrate import migrate, packaged
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_api.outbox.witness import MARK_INTERVAL_S
from perfcheck_api.settings import Settings
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import SCOPES
from perfcheck_embedded import Servers, free_port, servers
from prometheus_client import CollectorRegistry
from psycopg.errors import InsufficientPrivilege

TOKEN_KEY = "a key that only the tests know, of more than 32 bytes"  # noqa: S105  of tests
TODAY = date(2026, 11, 2)  # the Monday after the last day of the data


class Answer(NamedTuple):
    """What the app answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return msgspec.json.decode(self.body)

    @property
    def tags(self) -> list[str]:
        """Return the cache tags of the answer."""
        return self.headers["cache-tag"].split(", ")


@dataclass
class Client:
    """Calls an ASGI app whose lifespan is entered."""

    app: ASGIApp
    settings: Settings

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        root: str = "/api",
    ) -> Answer:
        """Send a request to `root` + `target` and return the whole answer.

        It bears a token for everything, unless `headers` has `authorization`: empty sends none.
        """
        fields = {"host": "test", "content-length": str(len(body))}
        fields |= {"authorization": f"Bearer {self.token()}"} | dict(headers or {})
        path, _, query = f"{root}{target}".partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), text.encode()) for name, text in fields.items() if text],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop() if incoming else {"type": "http.disconnect"}

        async def collect(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, collect)
        headers = {name.decode().lower(): text.decode() for name, text in sent[0]["headers"]}
        return Answer(
            sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])
        )

    def token(self, *scopes: str, subject: str = "test", audience: str = "api") -> str:
        """Return a service token with `scopes`, by default all of them."""
        return self.settings.token_keys().issue(
            subject=subject, audience=audience, scopes=scopes or SCOPES
        )

    async def post(
        self, target: str, document: Any, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST a JSON document to `/api/v1` + `target`."""
        return await self.send(
            "POST", f"/v1{target}", msgspec.json.encode(document), headers=headers
        )

    async def get(self, target: str) -> Answer:
        """GET `/api/v1` + `target`."""
        return await self.send("GET", f"/v1{target}")

    async def metrics(self) -> dict[str, float]:
        """Return what `/metrics` shows: series to number."""
        answer = await self.send("GET", "/metrics", root="")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        lines = [line.rpartition(" ") for line in answer.body.decode().splitlines()]
        return {series: float(number) for series, _, number in lines if series[:1] != "#"}

    async def put(self, target: str, document: Any) -> Answer:
        """PUT a JSON document to `/api/v1` + `target`."""
        return await self.send("PUT", f"/v1{target}", msgspec.json.encode(document))

    async def patch(self, target: str, document: Any) -> Answer:
        """PATCH `/api/v1` + `target` with a JSON document."""
        return await self.send("PATCH", f"/v1{target}", msgspec.json.encode(document))


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[None]:
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:

        async def live() -> None:
            await app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, from_app.put)

        group.create_task(live())
        await to_app.put({"type": "lifespan.startup"})
        assert (await from_app.get())["type"] == "lifespan.startup.complete"
        yield
        await to_app.put({"type": "lifespan.shutdown"})
        assert (await from_app.get())["type"] == "lifespan.shutdown.complete"


@pytest.fixture(scope="session")
def running() -> Iterator[Servers]:
    """Give one PostgreSQL and one NATS to all tests; each gets a database of its own."""
    with servers(valkey=False) as started:
        yield started


@pytest.fixture(autouse=True)
def new_log(request: pytest.FixtureRequest) -> None:
    """Begin each test without a log: the one of another test has heard of another database."""
    if "running" not in request.fixturenames:
        return

    async def remove() -> None:
        client = await connect(
            request.getfixturevalue("running").nats_url, name="test", timeout_s=10
        )
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(STREAM)
        await close(client)

    asyncio.run(remove())


def _at(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _create(running: Servers, database: str, template: str | None = None) -> str:
    # Files are copied as they are: through the log, as is the default, costs far more here.
    suffix = f" TEMPLATE {template} STRATEGY file_copy" if template else ""
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}"{suffix}'.encode())
    return _at(running.database_url, database)


def _drop(running: Servers, database: str) -> None:
    drop = f'DROP DATABASE "{database}" WITH (FORCE)'.encode()
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        eventually_sync(  # autovacuum may be there, which only a superuser may end
            lambda: connection.execute(drop), timeout_s=30, ignoring=(InsufficientPrivilege,)
        )


@dataclass(frozen=True)
class FullData:
    """A migrated database with the ECB's whole file, its outbox empty; only for reading."""

    database: str
    url: str
    ingested: Summary


@pytest.fixture(scope="session")
def full_data(running: Servers) -> FullData:
    """Load the ECB's whole file, once."""
    url = _create(running, "full")

    async def fill() -> Summary:
        async with connect_to_database(
            Secret(url), name="test", statement_timeout_s=60
        ) as connection:
            await migrate(connection, packaged())
            summary = await ingest(connection)
            await connection.execute("TRUNCATE outbox, receipts")
            return summary

    return FullData("full", url, asyncio.run(fill()))


@pytest.fixture
def empty_url(running: Servers) -> Iterator[str]:
    """Give the URL of a new database without any table."""
    name = f"empty_{uuid4().hex[:8]}"
    yield _create(running, name)
    _drop(running, name)


@pytest.fixture
def schema_url(empty_url: str) -> str:
    """Give the URL of a new database with all migrations and no rates."""

    async def fill() -> None:
        async with connect_to_database(
            Secret(empty_url), name="test", statement_timeout_s=60
        ) as connection:
            await migrate(connection, packaged())

    asyncio.run(fill())
    return empty_url


@pytest.fixture
def copy_url(running: Servers, full_data: FullData) -> Iterator[str]:
    """Give the URL of a copy of the full data that the test may change."""
    name = f"copy_{uuid4().hex[:8]}"
    yield _create(running, name, full_data.database)
    _drop(running, name)


Opener = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def open_client(running: Servers) -> Opener:
    """Give a context manager that runs an app on the database at a URL, with more settings."""

    @asynccontextmanager
    async def opened(database_url: str, **options: Any) -> AsyncIterator[Client]:
        observer = options.pop("observer", None)
        mark_interval_s = options.pop("mark_interval_s", MARK_INTERVAL_S)
        settings = Settings(
            database_url=Secret(database_url),
            nats_url=Secret(options.pop("nats_url", running.nats_urls["api"])),
            token_key=Secret(TOKEN_KEY),
            instance_id="api-test",
            **options,
        )
        app = create_app(
            settings, today=lambda: TODAY, observer=observer, mark_interval_s=mark_interval_s
        )
        async with _lifespan(app):
            yield Client(app, settings)

    return opened


@pytest.fixture
def no_nats_url() -> str:
    """Give the URL of a NATS that does not exist: events stay in the outbox."""
    return f"nats://127.0.0.1:{free_port()}"


@pytest.fixture
async def reader(
    full_data: FullData, open_client: Opener, no_nats_url: str
) -> AsyncIterator[Client]:
    """Give an app over the full data that the test only reads."""
    async with open_client(full_data.url, nats_url=no_nats_url) as client:
        yield client


@pytest.fixture
async def writer(copy_url: str, open_client: Opener, no_nats_url: str) -> AsyncIterator[Client]:
    """Give an app over a copy of the full data; its events stay in the outbox."""
    async with open_client(copy_url, nats_url=no_nats_url) as client:
        yield client


@pytest.fixture
async def js(running: Servers) -> AsyncIterator[JetStreamContext]:
    """Give JetStream with the stream of invalidations."""
    client = await connect(running.nats_url, name="test", timeout_s=10)
    context = client.jetstream()
    await ensure_stream(context)
    yield context
    await close(client)


@asynccontextmanager
async def _running_relay(url: str, nats_url: str) -> AsyncIterator[None]:
    metrics = RelayMetrics(CollectorRegistry())
    task = asyncio.ensure_future(
        Relay(Secret(url), nats_url, name="relay-test", metrics=metrics).run()
    )
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def relay_on() -> Callable[[str, str], AbstractAsyncContextManager[None]]:
    """Give a context manager that runs a relay on URLs of a database and a NATS, and stops it."""
    return _running_relay


Fetch = Callable[[str, str], list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def fetch() -> Fetch:
    """Give a function that runs SQL in the database at a URL and returns all rows."""

    def run(url: str, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description is not None else []

    return run


@pytest.fixture
def all_published(fetch: Fetch) -> Callable[[str], Awaitable[None]]:
    """Give a function that waits until the outbox at a URL has nothing left to publish."""

    async def wait(url: str) -> None:
        async def none_left() -> bool:
            unpublished = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            return fetch(url, unpublished) == [(0,)]

        await eventually(none_left, timeout_s=20, poll_s=0.02)

    return wait


@pytest.fixture
def published(js: JetStreamContext) -> Callable[[int], Awaitable[list[tuple[int, str, bytes]]]]:
    """Give a function that returns (seq, ce-id, body) of every event of the log from a seq."""

    async def read(first: int) -> list[tuple[int, str, bytes]]:
        last = (await js.stream_info(STREAM)).state.last_seq
        found = []
        for seq in range(first, last + 1):
            message = await js.get_msg(STREAM, seq=seq)
            if message.subject is not None and message.subject.startswith("cache.invalidations."):
                identity = (message.headers or {})["ce-id"]
                found.append((seq, identity, message.data or b""))
        return found

    return read


EcbFile = dict[date, dict[str, str]]


@pytest.fixture(scope="session")
def ecb() -> EcbFile:
    """Give the ECB's file as the standard library reads it: day to currency to rate."""
    with zipfile.ZipFile(packaged_source()) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return {
        date.fromisoformat(line["Date"]): {
            code: rate
            for code, rate in line.items()
            if code not in {"Date", ""} and rate not in {"N/A", ""}
        }
        for line in csv.DictReader(io.StringIO(text))
    }
