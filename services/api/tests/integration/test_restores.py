"""PostgreSQL goes back, in every way that it is restored: no page that is gone is called fresh.

The api runs on a cluster that is copied and put back. Two page caches stand before it, asked all
the time by clients with and without consistency tokens.
"""

import asyncio
import itertools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import NatsLog, close, connect
from asgi_isr.ports import SystemClock
from asgi_isr.stores.memory import MemoryStore
from asgi_isr.testing import eventually, ready, request
from nats.js.errors import NotFoundError
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.db import server
from perfcheck_api.migrations.migrate import migrate, packaged
from perfcheck_chassis.identity import ConsistencyTokens
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import LOG_API
from perfcheck_embedded import Servers, find_binaries, free_port, servers

DAY = "/days/2026-10-30"
MARK_INTERVAL_S = 0.1  # of marks: a restart of the server always takes longer than two
LEASE_S = 3.0
BIN = find_binaries({}).postgres_bin
KINDS = ("point in time", "cold copy", "dump", "another serves")


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    """Give a PostgreSQL to put back, and a NATS to stop."""
    with servers(valkey=False) as started:
        yield started


def _run(*argv: object) -> None:
    command = [str(part) for part in argv]
    subprocess.run(command, check=True, capture_output=True, timeout=60)  # noqa: S603  ours


def _at(url: str, database: str, *, user: str = "", port: int = 0) -> str:
    parts = urlsplit(url)
    host = f"{user or parts.username}:{parts.password}@127.0.0.1:{port or parts.port}"
    return urlunsplit(parts._replace(netloc=host, path=f"/{database}"))


class Cluster:
    """A cluster with one database, which is copied and put back in one of the ways."""

    def __init__(self, own: Servers, kind: str, folder: Path) -> None:
        self._own = own
        self._kind = kind
        self._data = (own.directory / "postgres").resolve() / "data"
        self._kept = self._data.with_name(f"kept-{uuid4().hex[:8]}")
        self._dump = folder / "dump"
        self._clone: subprocess.Popen[bytes] | None = None
        self._database = f"d{uuid4().hex[:8]}"
        self.url = _at(own.database_url, self._database)

    async def create(self) -> None:
        """Make the database."""
        self._execute(f"CREATE DATABASE {self._database}")
        async with connect_to_database(
            Secret(self.url), name="test", statement_timeout_s=60
        ) as connection:
            await migrate(connection, packaged())

    async def copy(self) -> None:
        """Keep the database as it is now."""
        if self._kind == "dump":
            await asyncio.to_thread(_run, BIN / "pg_dump", "-Fc", "-f", self._dump, self.url)
        elif self._kind == "cold copy":
            await self._own.stop("postgres")
            await asyncio.to_thread(_run, "cp", "-Rp", self._data, self._kept)
            await self._own.restart("postgres")
        else:
            superuser = _at(self.url, "postgres", user="postgres")
            options = ("-X", "stream", "-c", "fast", "-D", self._kept, "-d", superuser)
            await asyncio.to_thread(_run, BIN / "pg_basebackup", *options)
            owner = self._data.stat()
            await asyncio.to_thread(
                _run, "chown", "-R", f"{owner.st_uid}:{owner.st_gid}", self._kept
            )

    async def put_back(self) -> str:
        """Have the database be what was kept; return its URL."""
        if self._kind == "dump":
            self._execute(f"DROP DATABASE {self._database} WITH (FORCE)")
            self._execute(f"CREATE DATABASE {self._database}")
            await asyncio.to_thread(_run, BIN / "pg_restore", "-d", self.url, self._dump)
            return self.url
        if self._kind != "cold copy":  # recover to the end of the backup, on a new timeline
            (self._kept / "recovery.signal").touch()
            with (self._kept / "postgresql.auto.conf").open("a") as file:
                file.write("restore_command = 'false'\nrecovery_target = 'immediate'\n")
                file.write("recovery_target_action = 'promote'\n")
        if self._kind == "another serves":
            url = self._start_clone()
        else:
            await self._own.stop("postgres")
            shutil.rmtree(self._data)
            self._kept.rename(self._data)
            await self._own.restart("postgres")
            url = self.url

        async def writable() -> bool:
            try:
                with psycopg.connect(url) as connection:
                    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
            except psycopg.OperationalError:
                return False
            return row == (False,)

        await eventually(writable, timeout_s=30)
        return url

    def close(self) -> None:
        """Remove what was kept and is not in use."""
        if self._clone is not None:
            self._clone.terminate()
            self._clone.wait(timeout=20)
        shutil.rmtree(self._kept, ignore_errors=True)

    def _start_clone(self) -> str:
        port, owner = free_port(), self._data.stat()
        self._clone = subprocess.Popen(  # noqa: S603  ours
            [
                BIN / "postgres", "-D", self._kept, "-p", str(port), "-c", "fsync=off",
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
            ],
            user=owner.st_uid, group=owner.st_gid, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return _at(self.url, self._database, port=port)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._own.database_url, autocommit=True) as connection:
            connection.execute(statement.encode())


class Site:
    """Pages made of what the api answers, behind two caches with one store.

    `apis` are asked in turn, as a load balancer would. `current` is what the page must show to whom
    it is called fresh, at an instance to which the log has told of `origin`.
    """

    def __init__(self, own: Servers) -> None:
        self.apis: list[Any] = []
        self.current = b""
        self.origin = ""
        self.fresh = 0
        self.tokens: dict[str, str] = {}  # by name: source and number
        self.wrong: list[str] = []
        store = MemoryStore(SystemClock())
        self.caches = [
            PageCache(
                CacheSettings(instance=f"{name}-{uuid4().hex[:6]}", lease_s=LEASE_S),
                log=NatsLog(
                    own.nats_urls["frontend-bff"],
                    source="frontend-bff",
                    timeout_s=2,
                    api_prefix=LOG_API,
                ),
                store=store,
            )
            for name in ("one", "two")
        ]
        self._pages = [
            CacheMiddleware(self._page, cache, read_your_writes=_written) for cache in self.caches
        ]
        self._turn = itertools.count()

    async def _page(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        answer = await self.apis[next(self._turn) % len(self.apis)].get(scope["path"])
        named = [name for name in ("cache-tag", "cache-origin") if name in answer.headers]
        headers = [(name.encode(), answer.headers[name].encode()) for name in named]
        lifetime = b"max-age=600" if answer.status == 200 else b"no-store"
        headers.append((b"cache-control", lifetime))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def look(self, *, bearer: str = "") -> list[bool]:
        """Ask each cache for the page, and judge; return where it was a fresh one."""
        found = []
        for cache, page in zip(self.caches, self._pages, strict=True):
            told = self.origin and cache.session.follower.origins.get("api") == self.origin
            headers = {"written": self.tokens[bearer]} if bearer else {}
            reply = await request(page, DAY, headers=headers)
            status = reply.cache_status
            fresh = "; hit" in status and "detail=stale" not in status and "no-lease" not in status
            self.fresh += fresh
            # A write of after the restore is to be seen at once, by who made it.
            if fresh and (told or bearer == "early") and reply.body != self.current:
                self.wrong.append(f"{bearer or 'anybody'}: {status} {reply.body[:200]!r}")
            found.append(fresh and reply.body == self.current)
        return found

    async def all_fresh(self, bearer: str) -> bool:
        """Say whether each cache calls the page fresh, and shows what is current."""
        return all(await self.look(bearer=bearer))

    async def readers(self) -> None:
        """Look all the time, with each token and without."""
        while True:
            for token in ("", *self.tokens):
                await self.look(bearer=token)
                await asyncio.sleep(0.005)


def _written(headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
    for name, value in headers:
        if name == b"written":
            source, _, number = value.decode().partition(":")
            return source, int(number)
    return None


async def _write(api: Any, rate: int) -> str:
    """Write a rate as soon as the api can; return what its token names."""
    answers = []

    async def written() -> bool:
        answers.append(await api.put(DAY, {"rates": {"USD": rate}}))
        return bool(answers[-1].status < 300)

    await eventually(written, timeout_s=20)
    tokens = ConsistencyTokens(api.settings.token_keys())
    source, number = tokens.verify(answers[-1].headers["consistency-token"])
    return f"{source}:{number}"


@pytest.fixture
async def log_of_its_own(own: Servers) -> None:
    """Begin without a log."""
    client = await connect(own.nats_url, name="test", timeout_s=10)
    with suppress(NotFoundError):
        await client.jetstream().delete_stream(STREAM)
    await close(client)


class Case(NamedTuple):
    """One cell of the matrix: how it goes back, and what went on meanwhile."""

    kind: str
    published: bool  # the last row before it went back
    nats: bool  # up all the time
    early: bool  # writes before the relay's first session

    def __str__(self) -> str:
        """Name the case."""
        row = "published" if self.published else "unpublished"
        return f"{self.kind}, {row}, NATS {'up' if self.nats else 'down'}" + ", early" * self.early


YES_NO = (True, False)
ALL = [Case(*cell) for cell in itertools.product(KINDS, YES_NO, YES_NO, YES_NO)]
# Each takes seconds, so of the 32 eight are tried, in which each pair of values occurs. To try all,
# give `ALL` to the test.
COVERING = [
    case
    for case in ALL
    if case.published == (case.early != bool(KINDS.index(case.kind) & 1))
    and case.nats == (case.early != bool(KINDS.index(case.kind) & 2))
]


class Scene:
    """One restore: what is there before, what is lost, what comes after."""

    def __init__(
        self, case: Case, own: Servers, folder: Path, opener: Any, silent_url: str
    ) -> None:
        self.case = case
        self.site = Site(own)
        self.stack = AsyncExitStack()
        self._own = own
        self._cluster = Cluster(own, case.kind, folder)
        self._open = opener
        self._relaying = {"nats_url": own.nats_urls["api"], "mark_interval_s": MARK_INTERVAL_S}
        self._silent = {"nats_url": silent_url}
        self._before = AsyncExitStack()
        self._stays = case.kind == "another serves"

    async def begin(self) -> None:
        """Publish a first write, and join both caches."""
        self.stack.callback(self._cluster.close)
        await self.stack.enter_async_context(self._before)
        await self._cluster.create()
        await self._serve(self._relaying)
        await _write(self.site.apis[0], 1)
        for cache in self.site.caches:
            await self.stack.enter_async_context(cache)
        await ready(*self.site.caches, timeout_s=20)

    async def lose(self) -> None:
        """Keep a copy; then write what it lacks, and make pages of that."""
        if not self.case.published:  # nothing is published that the copy lacks
            await self._before.aclose()
            await self._stop_nats()
        await self._cluster.copy()
        if not self.case.published:
            await self._serve(self._silent)
        [api] = self.site.apis
        self.site.tokens["gone"] = await _write(api, 2)
        self.site.current = (await api.get(DAY)).body
        if self.case.published:
            await eventually(partial(self.site.all_fresh, ""), timeout_s=30)
            await self._stop_nats()
        else:
            await self.site.look()  # perhaps stored
        self.site.current = b""

    async def put_back(self) -> None:
        """Put the copy back, and serve from it."""
        site = self.site
        if not self._stays:
            await self._before.aclose()
        url = await self._cluster.put_back()
        if self.case.early:
            async with self._open(url, **self._silent) as early:
                site.apis.append(early)
                number = await _write(early, 3)
                site.current = (await early.get(DAY)).body
                site.tokens["early"] = number
                await site.look(bearer="early")
                site.apis.remove(early)
        new = await self.stack.enter_async_context(self._open(url, **self._relaying))
        site.apis = [*(site.apis if self._stays else ()), new]
        site.current = (await new.get(DAY)).body
        async with connect_to_database(
            Secret(url), name="test", statement_timeout_s=20
        ) as connection:
            site.origin = (await server(connection)).origin
        if not self.case.nats:
            await self._own.restart("nats")

    async def settle(self) -> None:
        """Wait until all is called fresh again; the database that lost the log says so."""
        for bearer in ("", *self.site.tokens):
            await eventually(partial(self.site.all_fresh, bearer), timeout_s=40)
        if self._stays and self.case.published:
            await eventually(partial(_superseded, self.site.apis[0]), timeout_s=20)

    async def _serve(self, options: Mapping[str, Any]) -> None:
        api = await self._before.enter_async_context(self._open(self._cluster.url, **options))
        self.site.apis = [api]

    async def _stop_nats(self) -> None:
        if not self.case.nats:
            await self._own.stop("nats")


async def _superseded(api: Any) -> bool:
    health = await api.send("GET", "/health")
    return bool(health.status == 503 and b"take-log" in health.body)


@pytest.mark.parametrize("case", COVERING, ids=str)
@pytest.mark.usefixtures("log_of_its_own")
async def test_a_restore(
    *, case: Case, own: Servers, open_client: Any, no_nats_url: str, tmp_path: Path
) -> None:
    """What an instance calls fresh, once the log has told it of the database, is what is there."""
    scene = Scene(case, own, tmp_path, open_client, no_nats_url)
    async with scene.stack:
        await scene.begin()
        await scene.lose()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(scene.site.readers())
            await scene.put_back()
            await scene.settle()
            reading.cancel()
    assert scene.site.wrong == []
    assert scene.site.fresh > 0
