"""What other instances have rendered, and the lock by which one of them renders for all."""

import asyncio
from contextlib import suppress

from asgi_isr.coherence.rules import Invalidated
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.http.policy import Use
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.page import Page, Varied
from asgi_isr.pages.shared import SharedPages
from asgi_isr.rendering.flight import Flight
from asgi_isr.rendering.outcomes import Again, Kept, Result
from asgi_isr.rendering.parts import Parts

ENDED_MAX = 10_000  # keys
LOCK_POLL_MIN_S = 0.01
LOCK_POLL_MAX_S = 0.1


class Fleet:
    """Finds pages in the shared store, where there is one, and brings them there."""

    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._clock = parts.clock
        self._counters = parts.counters
        self._index = parts.index
        self._local = parts.local
        self._lease = parts.lease
        self._rules = parts.rules
        self._shared = parts.shared
        self._ended: dict[str, int] = {}  # by key, up to which fence what is stored is over

    def end(self, key: str, fence: int) -> None:
        """Never take again what is stored at `key`: what cannot be stored superseded it."""
        if len(self._ended) >= ENDED_MAX:
            self._ended.clear()
        self._ended[key] = fence

    async def find(self, flight: Flight, *, background: bool) -> Result | None:
        """Take what another instance rendered; None when this one shall render."""
        if self._shared is None:
            return None
        try:
            found = await self._stored(self._shared, flight.key)
            if found is None:
                found = await self._lock(self._shared, flight, background=background)
        except StoreUnavailableError:
            return None  # counted where it failed; not asked again for this request
        return found

    async def _stored(self, shared: SharedPages, key: str) -> Result | None:
        """Judge what the shared store holds by this instance's own index (rule 4)."""
        page = await shared.get(key)
        if page is None:
            return None
        if isinstance(page, Varied):  # those who asked look for their variants
            self._local.varied.note(page.key, page.vary)
            return Again()
        invalidated = self._index.invalidated(page.tags, page.fence)
        ended = self._ended.get(key, -1)
        if not self._rules.usable_from_store(invalidated, page.fence, ended=ended):
            return None
        entry = Entry(page, now=self._clock.monotonic(), wall=self._clock.wall())
        if invalidated is Invalidated.SOFT:
            entry.soft_since = entry.created  # the earliest it can have been: when is not known
        use = entry.use(self._clock.monotonic(), self._lease.until)
        if use is Use.NONE or not self._is_newer(page):
            return None
        kept = self._local.put(entry)
        if use is Use.FRESH:
            self._counters.shared_hits += 1
            return Kept(entry, stored=False)
        return Again() if kept and use is Use.REVALIDATE else None

    def _is_newer(self, page: Page) -> bool:
        """Say whether a page of the store is newer than what is held here, if anything is.

        Not by `Entry.created`, which is made of two clocks: the same page would seem newer now
        and then, and be taken for the refresh that it needs.
        """
        held = self._local.entries.get(page.key)
        if held is None:
            return True
        return (page.fence, page.created) > (held.fence, held.page.created)

    async def _lock(
        self, shared: SharedPages, flight: Flight, *, background: bool
    ) -> Result | None:
        """Take the fleet's render lock, or what its holder stored; None: render here."""
        deadline = self._clock.monotonic() + self._settings.lock_wait_s
        pause_s = LOCK_POLL_MIN_S
        while True:
            flight.locked = True  # also if the store takes it and its answer is lost, or we are
            flight.locked = await shared.lock(flight.key, flight.owner, self._settings.lock_ttl_s)
            if flight.locked:
                # Another instance may have stored the page between our look and our lock.
                return await self._stored(shared, flight.key)
            if background:
                return Again()  # the other's page is found in the store at the next request
            if self._clock.monotonic() >= deadline:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(LOCK_POLL_MAX_S, pause_s * 1.5)
            found = await self._stored(shared, flight.key)
            if found is not None:
                return found

    async def share(self, flight: Flight, result: Result) -> None:
        """Store the page for all instances, then give the lock back."""
        if self._shared is None:
            return
        # A page that each request has confirmed is in the store since it was rendered: to write it
        # again each time would cost more than it saves. A failure is counted where it came.
        if isinstance(result, Kept) and result.stored and not _only_confirmed(result):
            with suppress(StoreUnavailableError):
                await self._shared.put(result.entry.page)
                self._ended.pop(result.entry.page.key, None)
        if flight.locked:
            flight.locked = False
            with suppress(StoreUnavailableError):
                await self._shared.unlock(flight.key, flight.owner)


def _only_confirmed(result: Kept) -> bool:
    return result.confirmed and result.entry.page.validate
