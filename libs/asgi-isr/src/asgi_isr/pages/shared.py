"""Guarded access to the shared store: a time limit on every call, and a breaker.

A store that is down, slow or frozen costs a request one time limit; after a few failures in a row
it is left alone for a moment, and the local cache goes on without it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asgi_isr.counters import Counters
from asgi_isr.errors import CorruptPageError, StoreUnavailableError
from asgi_isr.http.policy import VALIDATABLE_S
from asgi_isr.http.vary import primary
from asgi_isr.pages.breaker import Breaker
from asgi_isr.pages.codec import decode, encode
from asgi_isr.pages.page import Page, Varied
from asgi_isr.ports import Clock, Store

T = TypeVar("T")
logger = logging.getLogger(__name__)

STORED_S_MAX = 30 * 86_400.0


class SharedPages:
    """Pages in the store that all instances share.

    Every method raises `StoreUnavailableError`, after one time limit or at once while the breaker
    is open, so that a request that meets a failing store does not ask it again.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        counters: Counters,
        *,
        namespace: str,
        release: str,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._counters = counters
        self._pages = f"{namespace}:page:{release}:"
        self._locks = f"{namespace}:lock:{release}:"
        self._timeout_s = timeout_s
        self._breaker = Breaker()

    @property
    def failing(self) -> bool:
        """Whether the breaker is open."""
        return self._breaker.is_open

    async def get(self, key: str) -> Page | Varied | None:
        """Return what stands at `key`, or None when there is nothing that can be read."""
        data = await self._guarded(lambda: self._store.get(self._page_key(key)))
        if data is None:
            return None
        try:
            return decode(data, key)
        except CorruptPageError as error:
            self._counters.corrupt += 1
            logger.warning("ignored a stored page: %s", error)
            return None

    async def put(self, page: Page) -> None:
        """Keep `page` for all instances, as long as it may be of use to one."""
        kept_s = page.ttl_s + max(page.swr_s, page.sie_s)
        kept_s += VALIDATABLE_S if page.validators else 0.0
        stored: list[Page | Varied] = [page]
        if page.vary:  # first the page, then the sign that leads to it
            stored.append(Varied(key=primary(page.key), vary=page.vary))
        for one in stored:
            await self._put(one, fence=page.fence, ttl_s=min(STORED_S_MAX, kept_s))

    async def _put(self, stored: Page | Varied, *, fence: int, ttl_s: float) -> None:
        try:
            data = encode(stored)
        except Exception as error:
            logger.warning("cannot encode %s", stored.key, exc_info=True)
            raise StoreUnavailableError(f"cannot encode {stored.key}") from error
        await self._guarded(
            lambda: self._store.put(self._page_key(stored.key), data, fence=fence, ttl_s=ttl_s)
        )

    async def lock(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take the render lock of `key` if it is free."""
        return await self._guarded(
            lambda: self._store.lock(self._lock_key(key), owner, ttl_s=ttl_s)
        )

    async def unlock(self, key: str, owner: str) -> None:
        """Give the render lock back."""
        await self._guarded(lambda: self._store.unlock(self._lock_key(key), owner))

    def _page_key(self, key: str) -> str:
        return self._pages + key

    def _lock_key(self, key: str) -> str:
        return self._locks + key

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        if not self._breaker.allows(self._clock.monotonic()):
            raise StoreUnavailableError("not asked after several failures in a row")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await call()
        except Exception as error:
            # A store must raise StoreUnavailableError; whatever else it raises is logged whole, and
            # costs no more than the store.
            known = isinstance(error, StoreUnavailableError | TimeoutError)
            self._counters.store_failures += 1
            self._breaker.failed(self._clock.monotonic())
            level = logging.INFO if known else logging.WARNING
            logger.log(level, "the shared store failed: %r", error, exc_info=not known)
            raise StoreUnavailableError(f"the shared store failed: {error!r}") from error
        self._breaker.succeeded()
        return answer
