"""`RedisStore`: the store on Valkey 7+ or Redis 7+.

Every command touches one key, so it is safe in a cluster. A value stands behind its fence in 20
digits, so that the script that keeps a newer page from being overwritten reads 20 bytes of it.

It uses `redis.asyncio.Connection` (URL, TLS, authentication, parser) without redis-py's client and
pool: their retry, statistics and command layers cost as much CPU as the rest of a GET.
"""

import asyncio
import hashlib
import re
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import NoScriptError, RedisError

from asgi_isr.errors import StoreUnavailableError

__all__ = ["CONNECTIONS_MAX", "FENCE_MAX", "TIMEOUT_S", "RedisStore"]

TIMEOUT_S = 2.0  # of a snapshot, the largest value; the cache bounds its own calls far tighter
CONNECTIONS_MAX = 16
FENCE_DIGITS = 20
FENCE_MAX = 10**FENCE_DIGITS - 1
_READ_BYTES = 65536  # of one read from the socket: a page of usual size comes in one

_PUT = b"""
local standing = redis.call('GETRANGE', KEYS[1], 0, 19)
if #standing == 20 and string.match(standing, '^%d+$')
    and standing > string.sub(ARGV[1], 1, 20) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_UNLOCK = b"""
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
"""


class RedisStore:
    """A `Store` on the server at `url` (`redis://`, `rediss://` or `unix://`).

    Each call, with the opening of a connection if it needs one, ends within `timeout_s`; then, and
    on every error, it raises `StoreUnavailableError`. Nothing is tried twice. Nothing is opened
    before the first call, and the first one after `close` opens again, in whatever event loop. At
    most `connections_max` connections are open; waiting for one counts.
    Keys begin with `namespace`, those of locks with `namespace` and `lock:`. With `rediss` the
    server must show a certificate of a CA that the system trusts, or of one in the PEM file
    `tls_ca_file`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        namespace: str = "",
        tls_ca_file: str = "",
    ) -> None:
        # The user and password of the URL must not reach a log.
        self._place = re.sub(r"//[^@/]*@", "//", url).partition("?")[0]
        options: dict[str, Any] = dict(parse_url(url))
        self._connection_type: type[AbstractConnection] = options.pop(
            "connection_class", Connection
        )
        if tls_ca_file and issubclass(self._connection_type, SSLConnection):
            options.setdefault("ssl_ca_certs", tls_ca_file)
        # One time limit around each call replaces those of redis-py; without driver_info and with
        # protocol 2 opening a connection takes no round trip.
        self._options: dict[str, Any] = options | {
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "socket_read_size": _READ_BYTES,
            "driver_info": None,
            "protocol": 2,
        }
        self._timeout_s = timeout_s
        self._value_prefix = namespace
        self._lock_prefix = f"{namespace}lock:"
        self._connections_max = connections_max
        self._pool: _Pool | None = None

    async def get(self, key: str) -> bytes | None:
        """Return the value at `key`, or None."""
        value = await self._call(b"GET", self._value_key(key))
        return None if value is None else value[FENCE_DIGITS:]

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Keep `value` for `ttl_s` unless one with a higher fence stands there; say whether kept.

        Raises `ValueError` for a fence outside 0..FENCE_MAX.
        """
        if not 0 <= fence <= FENCE_MAX:
            raise ValueError(f"fence: {fence} is outside 0..{FENCE_MAX}")
        if ttl_s <= 0:
            return False
        fenced = b"%020d%b" % (fence, value)
        return bool(await self._script(_PUT, self._value_key(key), fenced, _ms(ttl_s)))

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Take the lock at `key` if nobody holds it."""
        name = self._lock_key(key)
        return await self._call(b"SET", name, owner.encode(), b"NX", b"PX", _ms(ttl_s)) is not None

    async def unlock(self, key: str, owner: str) -> None:
        """Give the lock back if `owner` still holds it."""
        await self._script(_UNLOCK, self._lock_key(key), owner.encode())

    async def close(self) -> None:
        """Close the idle connections; those in use close when their calls end."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def _value_key(self, key: str) -> bytes:
        return (self._value_prefix + key).encode()

    def _lock_key(self, key: str) -> bytes:
        return (self._lock_prefix + key).encode()

    async def _script(self, script: bytes, key: bytes, *args: bytes) -> Any:
        """Run `script` by its digest; the server learns the text where it does not know it."""
        digest = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
        call = (b"EVALSHA", digest, b"1", key, *args)
        return await self._call(*call, unknown=(b"EVAL", script, b"1", key, *args))

    async def _call(self, *command: bytes, unknown: tuple[bytes, ...] = ()) -> Any:
        """Return the answer to `command`, within the time limit.

        Where the server answers NOSCRIPT, send `unknown` instead.
        """
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            pool = self._pool = _Pool(loop, self._connections_max)
        try:
            async with asyncio.timeout(self._timeout_s), pool.slots:
                connection = await pool.idle_connection() or await self._connect()
                try:
                    return await _exchange(connection, command)
                except NoScriptError:
                    return await _exchange(connection, unknown)
                finally:
                    await pool.release(connection)
        except TimeoutError as error:
            raise StoreUnavailableError(
                f"the store at {self._place} did not answer {command[0].decode()} within"
                f" {self._timeout_s * 1000:g} ms"
            ) from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(
                f"the store at {self._place} failed {command[0].decode()}: {error}"
            ) from error

    async def _connect(self) -> AbstractConnection:
        connection = self._connection_type(**self._options)
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        return connection


class _Pool:
    """The connections from one opening to its closing, all of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connections_max: int) -> None:
        self.loop = loop
        self.slots = asyncio.Semaphore(connections_max)
        self._idle: list[AbstractConnection] = []  # the last one returned is taken first
        self._closed = False

    async def idle_connection(self) -> AbstractConnection | None:
        """Return a connection with nothing to read, None if no such one is idle."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if not await connection.can_read():
                    return connection
            except (RedisError, OSError):
                pass  # the server closed it while it was idle
            await connection.disconnect(nowait=True)
        return None

    async def release(self, connection: AbstractConnection) -> None:
        """Keep `connection` if its last answer was read whole: redis-py closes it otherwise."""
        if not connection.is_connected:
            return
        if self._closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Close those that are idle, and each of the others once its call has ended."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


async def _exchange(connection: AbstractConnection, command: tuple[bytes, ...]) -> Any:
    """Send `command` and return its answer; any error but an error answer closes `connection`."""
    parts = [b"*%d\r\n" % len(command)]
    for part in command:
        parts += (b"$%d\r\n" % len(part), part, b"\r\n")
    await connection.send_packed_command(b"".join(parts), check_health=False)
    return await connection.read_response(disable_decoding=True)


def _ms(seconds: float) -> bytes:
    return b"%d" % max(1, round(seconds * 1000))
