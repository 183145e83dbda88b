"""Health checks on the cache's neighbours: the invalidation log, the lease, the shared store."""

from asgi_isr import PageCache
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.stores.redis import RedisStore
from perfcheck_chassis.http import Check

__all__ = ["lease_check", "log_check", "store_check"]

_PROBE_KEY = "health-probe"


def log_check(cache: PageCache) -> Check:
    """Return the check that the cache has joined the log; before that it cannot judge any page."""

    async def check() -> str | None:
        status = cache.status()
        if status.joined:
            return None
        found = "the page cache has not joined the invalidation log; is PERFCHECK_NATS_URL right?"
        return f"{found} ({status.log_failure})" if status.log_failure else found

    return check


def lease_check(cache: PageCache) -> Check:
    """Return the check that pages may count as fresh: a mark has come through the log recently."""

    async def check() -> str | None:
        if cache.status().lease_remaining_s > 0:
            return None
        return (
            "the lease has expired: no mark has come through the invalidation log recently, so no "
            "page counts as fresh; is the api's relay running?"
        )

    return check


def store_check(store: RedisStore) -> Check:
    """Return the check that the shared store answers; without it each instance caches alone."""

    async def check() -> str | None:
        try:
            await store.get(_PROBE_KEY)
        except StoreUnavailableError:
            return (
                "the shared store does not answer; "
                "is PERFCHECK_VALKEY_URL right, and is Valkey running?"
            )
        return None

    return check
