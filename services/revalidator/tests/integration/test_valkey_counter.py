import asyncio

import pytest
from perfcheck_embedded import Servers
from perfcheck_revalidator.cdn.price import CounterError
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter

pytestmark = pytest.mark.integration


async def test_counter_is_shared(running: Servers, counter: ValkeyCounter) -> None:
    """Two instances add to one number."""
    other = ValkeyCounter(running.valkey_url)
    assert await counter.add("k", 5, ttl_s=60) == 5
    assert await other.add("k", -2, ttl_s=60) == 3
    await other.close()


async def test_counter_says_that_the_store_is_gone(
    running: Servers, counter: ValkeyCounter
) -> None:
    """A store that is frozen or stopped costs one time limit, and its password is not shown."""
    await counter.add("k", 1, ttl_s=60)
    await running.pause("valkey")
    async with asyncio.timeout(5):
        with pytest.raises(CounterError, match=r"did not answer within 0\.5 s"):
            await counter.add("k", 1, ttl_s=60)
    await running.resume("valkey")
    await counter.add("k", 1, ttl_s=60)
    await running.stop("valkey")
    with pytest.raises(CounterError, match="failed"):
        await counter.add("k", 1, ttl_s=60)
