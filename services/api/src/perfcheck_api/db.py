"""PostgreSQL: the pool for requests, connections of their own for long jobs, transactions.

Reads run in autocommit: one statement, one round trip. Every wait is bounded: for a connection
(`pool_timeout_s`, and at most `WAITING_PER_CONNECTION` waiters each), for connecting, for a lock
and for a statement.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from perfcheck_chassis.secret import Secret
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from perfcheck_api.errors import DatabaseUnavailableError
from perfcheck_api.origin import SERVER, Server, meet

Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]
# Whatever the driver raises; for those who run their own connection and start again after it.
DatabaseError = psycopg.Error
DataError = psycopg.DataError  # a value that PostgreSQL cannot hold

POSTGRES_CONNECT_S_MAX = 3
WAITING_PER_CONNECTION = 50
_POOL_RECONNECT_S_MAX = 30
_POOL_CLOSE_S_MAX = 5.0
# A peer that vanished without a word is noticed within about ten seconds.
_KEEPALIVE: Mapping[str, int] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_log = logging.getLogger(__name__)


def conninfo(url: Secret, *, name: str, statement_timeout_s: float) -> str:
    """Return libpq's parameters for `url`: bounded waits, and plans that do not depend on JIT."""
    timeout_ms = int(statement_timeout_s * 1000)
    options = (
        f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms}"
        f" -c idle_in_transaction_session_timeout={2 * timeout_ms} -c jit=off -c timezone=UTC"
    )
    return make_conninfo(
        url.reveal(),
        application_name=f"perfcheck-api {name}",
        connect_timeout=POSTGRES_CONNECT_S_MAX,
        options=options,
        **_KEEPALIVE,
    )


@asynccontextmanager
async def connect(
    url: Secret, *, name: str, statement_timeout_s: float
) -> AsyncGenerator[Connection, None]:
    """Open a connection outside the pool, in autocommit; close it at the end.

    Raises `psycopg.Error` (alias `DatabaseError`) as the driver does.
    """
    parameters = conninfo(url, name=name, statement_timeout_s=statement_timeout_s)
    connection = await psycopg.AsyncConnection.connect(parameters, autocommit=True)
    try:
        yield connection
    finally:
        await connection.close()


async def server(connection: Connection) -> Server:
    """Return which run of which server this is: the same for as long as the connection lives."""
    row = await (await connection.execute(SERVER)).fetchone()
    if row is None:
        raise RuntimeError("the server has no identity")
    return Server(*row)


class _Pooled(psycopg.AsyncConnection[TupleRow]):
    """A connection of the pool, which knows what it is connected to."""

    origin = ""


async def _know_origin(connection: _Pooled) -> None:
    connection.origin = (await server(connection)).origin


class Database:
    """The pool of connections that requests share.

    Every method raises `DatabaseUnavailableError` when PostgreSQL is out of reach, too slow, or no
    connection became free in time.
    """

    def __init__(
        self,
        url: Secret,
        *,
        pool_size_min: int,
        pool_size_max: int,
        pool_timeout_s: float,
        statement_timeout_s: float,
    ) -> None:
        self._pool = AsyncConnectionPool(
            conninfo(url, name="requests", statement_timeout_s=statement_timeout_s),
            connection_class=_Pooled,
            configure=_know_origin,
            kwargs={"autocommit": True},
            min_size=pool_size_min,
            max_size=pool_size_max,
            timeout=pool_timeout_s,
            max_waiting=pool_size_max * WAITING_PER_CONNECTION,
            reconnect_timeout=_POOL_RECONNECT_S_MAX,
            open=False,
            name="requests",
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the pool open. Does not wait for PostgreSQL: readiness tells when it is there."""
        await self._pool.open(wait=False)
        try:
            yield
        finally:
            await self._pool.close(timeout=_POOL_CLOSE_S_MAX)

    async def row(self, query: str, parameters: Mapping[str, Any] | None = None) -> TupleRow | None:
        """Run one reading statement and return its first row, as `rows` does."""
        found = await self.rows(query, parameters)
        return found[0] if found else None

    async def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[TupleRow]:
        """Run one reading statement and return its rows.

        It is run once more when its connection turns out to have been closed meanwhile, as after a
        restart of PostgreSQL.
        """
        try:
            return await self._rows(query, parameters)
        except _ConnectionLostError:
            await self._drop_broken()
        try:
            return await self._rows(query, parameters)
        except _ConnectionLostError as error:
            raise DatabaseUnavailableError("the database closed the connection") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Give a connection in a transaction: committed at the end, rolled back on any error."""
        try:
            async with self._translated() as connection, connection.transaction():
                yield connection
        except _ConnectionLostError as error:
            await self._drop_broken()
            raise DatabaseUnavailableError("the database closed the connection") from error

    async def _rows(self, query: str, parameters: Mapping[str, Any] | None) -> list[TupleRow]:
        async with self._translated() as connection:
            cursor = await connection.execute(query.encode(), parameters, binary=True)
            return await cursor.fetchall()

    async def _drop_broken(self) -> None:
        """Replace the pool's connections that died; all of them do when PostgreSQL restarts."""
        await self._pool.check()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[Connection]:
        connection: Connection | None = None
        try:
            async with self._pool.connection() as connection:
                meet(connection.origin)
                yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise DatabaseUnavailableError("no database connection became free in time") from error
        except (pg.QueryCanceled, pg.LockNotAvailable) as error:
            raise DatabaseUnavailableError("the database took too long") from error
        except psycopg.OperationalError as error:
            _log.warning("database error: %s", error)
            if connection is not None and connection.closed:
                raise _ConnectionLostError from error
            raise DatabaseUnavailableError("the database cannot be used right now") from error


class _ConnectionLostError(Exception):
    """The connection was closed under a statement."""
