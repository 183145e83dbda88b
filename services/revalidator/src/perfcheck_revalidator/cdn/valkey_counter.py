"""`ValkeyCounter`: the shared count on Valkey 7+ or Redis 7+."""

import asyncio
import re

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from perfcheck_revalidator.cdn.price import CounterError

__all__ = ["ValkeyCounter"]

COUNTER_S_MAX = 1.0
_COUNTER_CONNECTIONS_MAX = 2  # a purge counts once


class ValkeyCounter:
    """A `Counter` on the server at `url` (`redis://`, `rediss://` or `unix://`).

    Nothing is opened before the first call, nothing is tried twice, and each call ends within
    `timeout_s`.
    """

    def __init__(
        self, url: str, *, timeout_s: float = COUNTER_S_MAX, tls_ca_file: str = ""
    ) -> None:
        self._place = re.sub(r"//[^/]*@", "//", url).partition("?")[0]  # without the password
        self._timeout_s = timeout_s
        trust = {"ssl_ca_certs": tls_ca_file} if tls_ca_file and url.startswith("rediss:") else {}
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_COUNTER_CONNECTIONS_MAX, timeout=timeout_s,
            retry=Retry(NoBackoff(), 0), **trust,
        )  # fmt: skip
        self._client = Redis.from_pool(pool)

    async def add(self, key: str, number: int, *, ttl_s: int) -> int:
        """Add `number` in one transaction with the key's end; return the sum."""
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._client.pipeline(transaction=True) as pipeline:
                    await pipeline.execute_command("INCRBY", key, number)
                    await pipeline.execute_command("EXPIRE", key, ttl_s)
                    total, _ = await pipeline.execute()
                return int(total)
        except TimeoutError as error:
            raise CounterError(
                f"the store at {self._place} did not answer within {self._timeout_s:g} s"
            ) from error
        except (RedisError, OSError) as error:
            raise CounterError(f"the store at {self._place} failed: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
