"""Looking up a page, judging it, answering: fresh, stale, or rendered once for all who ask.

Rules 3 and 4 of the coherence protocol are here; the follower has the rules of the log.
"""

import asyncio

from asgi_isr.coherence.rules import Invalidated, Seen
from asgi_isr.errors import NotCachedError
from asgi_isr.http.policy import Use
from asgi_isr.http.vary import variant_key
from asgi_isr.pages.entry import Entry
from asgi_isr.rendering.outcomes import (
    Again,
    Answer,
    Bypass,
    Failed,
    Kept,
    Overtaken,
    Personal,
    Rendered,
    Streamed,
)
from asgi_isr.rendering.parts import Parts
from asgi_isr.rendering.renders import Renders
from asgi_isr.rendering.request import PageRequest, Render, is_for
from asgi_isr.types import Headers

ATTEMPTS_MAX = 4  # looks at one key for one request, until it renders without the cache


class Lookup:
    """Finds the answer to a request, of an open cache."""

    def __init__(self, parts: Parts, renders: Renders) -> None:
        self._settings = parts.settings
        self._clock = parts.clock
        self._counters = parts.counters
        self._rules = parts.rules
        self._index = parts.index
        self._local = parts.local
        self._follower = parts.follower
        self._lease = parts.lease
        self._renders = renders

    def hit(self, key: str, now: float, headers: Headers) -> Entry | None:
        """Return the page at `key` if it is fresh now: the hot path, no I/O and no task.

        `headers` are those of the request, which select a variant where the page varies.
        """
        local = self._local
        if local.varied and key in local.varied:
            key = variant_key(key, local.varied[key], headers)
        entry = local.entries.get(key)
        if entry is None:
            return None
        if entry.good_at != local.doubts:
            entry = local.get(key)  # judges it
            if entry is None or entry.good_at != local.doubts:
                return None
        if now < entry.expires and now < self._lease.until and entry.fence >= self._index.base:
            return entry
        return None

    async def reached(self, source: str, source_seq: int) -> bool:
        """Wait until this instance has been told of all that `source` wrote up to `source_seq`.

        False when it was not within `consistency_wait_s`: then what is held may be older (rule 12).
        """
        if self._follower.knows_write(source, source_seq):
            return True
        self._counters.awaited += 1
        wait_s = self._settings.consistency_wait_s
        if await self._follower.wait_for_source(source, source_seq, wait_s):
            return True
        self._counters.unreached += 1
        return False

    async def fetch(self, request: PageRequest, render: Render) -> Answer | Bypass | Streamed:
        """Answer a request that `hit` did not, or let the app answer its client.

        Raises what the app raised, `RenderTimeoutError` when there is no page to fall back on, or
        `NotCachedError` when nobody shall render one.
        """
        outcome = await self._resolve(request, render)
        if isinstance(outcome, Bypass):
            self._counters.bypassed += 1
            if request.only_if_cached:
                raise NotCachedError(outcome.reason)
            await render.direct(outcome.reason)
        return outcome

    async def _resolve(self, request: PageRequest, render: Render) -> Answer | Bypass | Streamed:
        position = self._follower.position
        if position is None:
            return Bypass("not-joined")
        arrived = Seen(position, self._index.changes)
        for _ in range(ATTEMPTS_MAX):
            outcome = await self._attempt(request, render, arrived)
            if not isinstance(outcome, Again):
                return outcome
        return Bypass("contended")

    async def _attempt(
        self, request: PageRequest, render: Render, arrived: Seen
    ) -> Answer | Bypass | Streamed | Again:
        """Look once: answer with what is held, else with what a render brings."""
        key = self._selected(request)
        entry, use = self._look(key, request)
        if entry is not None and use in {Use.FRESH, Use.REVALIDATE}:
            return self._held(request, render, entry, use)
        refusal = Bypass("not-cached") if request.only_if_cached else self._renders.refusal(key)
        if refusal is not None:
            return refusal
        asked_each_time = entry is not None and entry.page.validate
        alone = self._rules.alone(authorized=request.authorized, validate=asked_each_time)
        flight = None if alone else self._renders.under_way(key)
        lead = flight is None
        if flight is None:
            if self._renders.full:
                return Bypass("busy")
            flight = self._renders.launch(key, request, render, alone=alone)
        result = await asyncio.shield(flight.done)
        if isinstance(result, Streamed):
            if not lead:
                return Bypass("unstorable")
            await flight.watch()
            return result
        return self._accept(request, result, arrived, stale=entry is not None, lead=lead)

    def _selected(self, request: PageRequest) -> str:
        """Return the key of the variant that the request selects (RFC 9111, section 4.1)."""
        return variant_key(request.key, self._local.varied.get(request.key, ()), request.headers)

    def _held(self, request: PageRequest, render: Render, entry: Entry, use: Use) -> Answer:
        """Answer with a local page that is fresh, or stale and refreshed meanwhile."""
        if use is Use.FRESH:
            self._counters.misses += 1
            return self._answer(entry, "hit", "detail=local")
        self._renders.refresh(request, render, entry)
        self._counters.stale += 1
        return self._stale(entry, "detail=stale-while-revalidate")

    def _look(self, key: str, request: PageRequest) -> tuple[Entry | None, Use]:
        entry = self._local.get(key)
        if entry is None:
            return None, Use.NONE
        use = Use.NONE
        if self._rules.trusted(entry.fence, self._index.base):
            use = entry.use(self._clock.monotonic(), self._lease.until)
        if use is Use.NONE:
            self._local.drop(key)
            return None, use
        if request.authorized and not entry.public:
            return None, Use.NONE
        if request.after_a_write and not self._rules.new_as_write(
            soft=entry.soft_since is not None
        ):
            # It may be older than the write. The lifetime and the lease say nothing of that: what
            # is not invalidated is as new as the write, which was announced here.
            use = Use.VALIDATE
        return entry, use

    def _accept(
        self, request: PageRequest, result: Kept | Overtaken | Personal | Again | Failed,
        arrived: Seen, *, stale: bool, lead: bool,
    ) -> Answer | Bypass | Again:  # fmt: skip
        """Turn a render's result into this request's answer."""
        if isinstance(result, Again):
            return result
        if isinstance(result, Failed):
            return self._failed(result, request)
        entry = result.entry
        invalidated = self._index.invalidated(entry.page.tags, entry.fence)
        shared = isinstance(result, Kept) and not result.stored
        changes = result.changes if isinstance(result, Overtaken) else None
        may_take = not shared and self._rules.may_take(arrived, entry.fence, changes)
        if invalidated is not Invalidated.NOT and not may_take:
            # Between a look into the store and this one an event may have come.
            return Again()
        if not lead and not is_for(request, result, self._rules):
            return Again()
        if lead:
            self._counters.misses += 1
        else:
            self._counters.collapsed += 1
        parts = ["collapsed"] if not lead else []
        if shared:
            return self._answer(entry, "hit", "detail=shared", *parts)
        forwarded = "fwd=stale" if stale else "fwd=uri-miss"
        timing = b"" if isinstance(result, Personal) else result.timing
        if isinstance(result, Overtaken) or invalidated is not Invalidated.NOT:
            detail = result.detail if isinstance(result, Overtaken) else "overtaken"
            status = (forwarded, *parts, f"detail={detail}", f"fence={entry.fence}")
            return Answer(entry, status, fresh=False, timing=timing)
        if isinstance(result, Personal) or result.confirmed:
            parts.insert(0, "fwd-status=304")
        if isinstance(result, Kept):
            parts.insert(0, "stored")
        return self._answer(entry, forwarded, *parts)._replace(timing=timing)

    def _answer(self, entry: Entry, *parts: str) -> Answer:
        """Answer with a page that is not invalidated, if perhaps the lease ran out."""
        now = self._clock.monotonic()
        leased = self._rules.lease_valid(now, self._lease.until)
        status = (*parts, f"ttl={int(entry.expires - now)}", f"fence={entry.fence}")
        return Answer(entry, status if leased else (*status, "detail=no-lease"), fresh=leased)

    def _stale(self, entry: Entry, detail: str) -> Answer:
        left_s = int(entry.expires - self._clock.monotonic())
        return Answer(entry, ("hit", f"ttl={left_s}", detail, f"fence={entry.fence}"), fresh=False)

    def _failed(self, result: Failed, request: PageRequest) -> Answer | Bypass | Again:
        entry, use = self._look(self._selected(request), request)
        if use is Use.FRESH:
            return Again()  # it came by another way meanwhile
        if entry is not None and use is not Use.VALIDATE:
            self._counters.stale += 1
            return self._stale(entry, "detail=stale-if-error")
        if isinstance(result.error, Rendered):
            if request.after_a_write:
                return Bypass("read-your-writes")  # what others get instead is too old here
            return Again()  # what it was held back for is gone: let the client see the next one
        raise result.error
