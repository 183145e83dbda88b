"""The page cache: looks up, judges, renders once, keeps what is still fresh, serves the rest stale.

Rules 3 and 4 of the coherence protocol are here; the follower has the rules of the log.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from asgi_isr.backoff import Jitter
from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.lease import Lease
from asgi_isr.coherence.rules import RULES, Invalidated, Rules, Seen
from asgi_isr.coherence.snapshot import Snapshot, read_snapshot
from asgi_isr.counters import Counters
from asgi_isr.engine.changes import Changes
from asgi_isr.engine.reporter import Reporter, instance_name
from asgi_isr.errors import NotCachedError
from asgi_isr.events import Invalidation
from asgi_isr.http.policy import Use
from asgi_isr.http.vary import variant_key
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.local import LocalPages
from asgi_isr.pages.shared import SharedPages
from asgi_isr.ports import Clock, Log, Store, SystemClock
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
from asgi_isr.settings import CacheSettings
from asgi_isr.types import Headers

ATTEMPTS_MAX = 4  # looks at one key for one request, until it renders without the cache


class PageCache:
    """One instance of the cache. Enter it as an async context manager before the first request.

    Without `log` invalidations come from this process alone, without `store` nothing is shared.
    `rules` and `jitter` are for tests: the decisions of the coherence protocol, one of which may be
    replaced to see that it is needed, and the randomness of waits, from 0 to 1.
    """

    def __init__(
        self,
        settings: CacheSettings | None = None,
        *,
        log: Log | None = None,
        store: Store | None = None,
        clock: Clock | None = None,
        rules: Rules = RULES,
        jitter: Jitter = random.random,
    ) -> None:
        self.settings = settings or CacheSettings()
        self.clock: Clock = clock or SystemClock()
        self.log: Log = log if log is not None else MemoryLog()
        self.counters = Counters()
        self.rules = rules
        self.index = Index(tags_max=self.settings.index_tags_max, rules=rules)
        self.local = LocalPages(bytes_max=self.settings.local_bytes_max)
        self.follower = Follower(
            self.log, self.index, load_snapshot=self._load_snapshot, on_event=self._on_event,
            on_rejoin=self._on_rejoin, on_move=self._on_move, rules=rules, jitter=jitter,
        )  # fmt: skip
        self.reporter = Reporter(
            self.log, self.follower, self.counters,
            name=instance_name(self.settings.instance), lease_s=self.settings.lease_s,
            end_lease=self._on_leave,
        )  # fmt: skip
        self.lease = Lease(
            self.log, self.index, self.follower, self.clock, lease_s=self.settings.lease_s,
            register=self.reporter.register, rules=rules, jitter=jitter,
        )  # fmt: skip
        self._store = store
        self.shared = SharedPages(
            store, self.clock, self.counters, namespace=self.settings.namespace,
            release=self.settings.release, timeout_s=self.settings.store_timeout_s,
        ) if store is not None else None  # fmt: skip
        self.renders = Renders(
            Parts(
                settings=self.settings, clock=self.clock, counters=self.counters,
                index=self.index, local=self.local, follower=self.follower, lease=self.lease,
                shared=self.shared, rules=rules,
            )
        )  # fmt: skip
        self.changes = Changes(
            self.log, clock=self.clock, counters=self.counters, index=self.index,
            local=self.local,
        )  # fmt: skip
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start following the log."""
        if self._store is not None:
            self._exit.push_async_callback(self._store.close)
        self._exit.push_async_callback(self.log.close)
        tasks = await self._exit.enter_async_context(asyncio.TaskGroup())
        for part in (self.renders, self.changes):
            self._exit.callback(part.close)
            part.open(tasks)
        for name, work in (
            ("follower", self.follower.run()), ("lease", self.lease.run()),
            ("reporter", self.reporter.run()),
        ):  # fmt: skip
            self._exit.callback(tasks.create_task(work, name=f"isr-{name}").cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop following, cancel what still renders, close store and log."""
        # Without the error of the body, which a task group would wrap into one of its own.
        await self._exit.__aexit__(None, None, None)

    def hit(self, key: str, now: float, headers: Headers) -> Entry | None:
        """Return the page at `key` if it is fresh now: the hot path, no I/O and no task.

        `headers` are those of the request, which select a variant where the page varies.
        """
        local = self.local
        if local.varied and key in local.varied:
            key = variant_key(key, local.varied[key], headers)
        entry = local.entries.get(key)
        if (
            entry is not None
            and entry.soft_since is None
            and now < entry.expires
            and now < self.lease.until
            and entry.fence >= self.index.base
        ):
            return entry
        return None

    async def reached(self, source: str, source_seq: int) -> bool:
        """Wait until this instance has been told of all that `source` wrote up to `source_seq`.

        False when it was not within `consistency_wait_s`: then what is held may be older (rule 12).
        """
        if self.follower.knows_write(source, source_seq):
            return True
        self.counters.awaited += 1
        wait_s = self.settings.consistency_wait_s
        if await self.follower.wait_for_source(source, source_seq, wait_s):
            return True
        self.counters.unreached += 1
        return False

    async def fetch(self, request: PageRequest, render: Render) -> Answer | Bypass | Streamed:
        """Answer a request that `hit` did not, or let the app answer its client.

        Raises what the app raised, `RenderTimeoutError` when there is no page to fall back on, or
        `NotCachedError` when nobody shall render one.
        """
        outcome = await self._resolve(request, render)
        if isinstance(outcome, Bypass):
            self.counters.bypassed += 1
            if request.only_if_cached:
                raise NotCachedError(outcome.reason)
            await render.direct(outcome.reason)
        return outcome

    async def _resolve(self, request: PageRequest, render: Render) -> Answer | Bypass | Streamed:
        position = self.follower.position
        if position is None:
            return Bypass("not-joined")
        arrived = Seen(position, self.index.changes)
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
        refusal = Bypass("not-cached") if request.only_if_cached else self.renders.refusal(key)
        if refusal is not None:
            return refusal
        asked_each_time = entry is not None and entry.page.validate
        alone = self.rules.alone(authorized=request.authorized, validate=asked_each_time)
        flight = None if alone else self.renders.under_way(key)
        lead = flight is None
        if flight is None:
            if self.renders.full:
                return Bypass("busy")
            flight = self.renders.launch(key, request, render, alone=alone)
        result = await asyncio.shield(flight.done)
        if isinstance(result, Streamed):
            if not lead:
                return Bypass("unstorable")
            await flight.watch()
            return result
        return self._accept(request, result, arrived, stale=entry is not None, lead=lead)

    def _selected(self, request: PageRequest) -> str:
        """Return the key of the variant that the request selects (RFC 9111, section 4.1)."""
        return variant_key(request.key, self.local.varied.get(request.key, ()), request.headers)

    def _held(self, request: PageRequest, render: Render, entry: Entry, use: Use) -> Answer:
        """Answer with a local page that is fresh, or stale and refreshed meanwhile."""
        if use is Use.FRESH:
            self.counters.misses += 1
            return self._answer(entry, "hit", "detail=local")
        self.renders.refresh(request, render, entry)
        self.counters.stale += 1
        return self._stale(entry, "detail=stale-while-revalidate")

    def status(self) -> dict[str, object]:
        """Return where this instance stands, for health checks and dashboards."""
        self.counters.evicted = self.local.evicted
        left_s = self.lease.until - self.clock.monotonic()
        return {
            "position": self.follower.position,
            "base": self.index.base,
            "joined": self.follower.joined,
            "tags": len(self.index),
            "lease_remaining_s": round(max(0.0, left_s), 3),
            "log_failure": self.follower.unhealthy_reason,
            "store_failing": self.shared.failing if self.shared else False,
            "local": {"pages": len(self.local.entries), "bytes": self.local.bytes},
            "counters": {
                name: getattr(counters, name)
                for counters in (self.counters, self.follower.counters)
                for name in counters.__struct_fields__
            },
        }

    def _look(self, key: str, request: PageRequest) -> tuple[Entry | None, Use]:
        entry = self.local.entries.get(key)
        if entry is None:
            return None, Use.NONE
        use = Use.NONE
        if self.rules.trusted(entry.fence, self.index.base):
            use = entry.use(self.clock.monotonic(), self.lease.until)
        if use is Use.NONE:
            self.local.drop(key)
            return None, use
        if request.authorized and not entry.public:
            return None, Use.NONE
        if request.after_a_write and not self.rules.new_as_write(soft=entry.soft_since is not None):
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
        invalidated = self.index.invalidated(entry.page.tags, entry.fence)
        shared = isinstance(result, Kept) and not result.stored
        changes = result.changes if isinstance(result, Overtaken) else None
        may_take = not shared and self.rules.may_take(arrived, entry.fence, changes)
        if invalidated is not Invalidated.NOT and not may_take:
            # Between a look into the store and this one an event may have come.
            return Again()
        if not lead and not is_for(request, result, self.rules):
            return Again()
        if lead:
            self.counters.misses += 1
        else:
            self.counters.collapsed += 1
        parts = ["collapsed"] if not lead else []
        if shared:
            return self._answer(entry, "hit", "detail=shared", *parts)
        forwarded = "fwd=stale" if stale else "fwd=uri-miss"
        timing = b"" if isinstance(result, Personal) else result.timing
        if isinstance(result, Overtaken) or invalidated is not Invalidated.NOT:
            status = (forwarded, *parts, "detail=overtaken", f"fence={entry.fence}")
            return Answer(entry, status, fresh=False, timing=timing)
        if isinstance(result, Personal) or result.confirmed:
            parts.insert(0, "fwd-status=304")
        if isinstance(result, Kept):
            parts.insert(0, "stored")
        return self._answer(entry, forwarded, *parts)._replace(timing=timing)

    def _answer(self, entry: Entry, *parts: str) -> Answer:
        """Answer with a page that is not invalidated, if perhaps the lease ran out."""
        now = self.clock.monotonic()
        leased = self.rules.lease_valid(now, self.lease.until)
        status = (*parts, f"ttl={int(entry.expires - now)}", f"fence={entry.fence}")
        return Answer(entry, status if leased else (*status, "detail=no-lease"), fresh=leased)

    def _stale(self, entry: Entry, detail: str) -> Answer:
        left_s = int(entry.expires - self.clock.monotonic())
        return Answer(entry, ("hit", f"ttl={left_s}", detail, f"fence={entry.fence}"), fresh=False)

    def _failed(self, result: Failed, request: PageRequest) -> Answer | Bypass | Again:
        entry, use = self._look(self._selected(request), request)
        if use is Use.FRESH:
            return Again()  # it came by another way meanwhile
        if entry is not None and use is not Use.VALIDATE:
            self.counters.stale += 1
            return self._stale(entry, "detail=stale-if-error")
        if isinstance(result.error, Rendered):
            if request.after_a_write:
                return Bypass("read-your-writes")  # what others get instead is too old here
            return Again()  # what it was held back for is gone: let the client see the next one
        raise result.error

    # -- the log's word -----------------------------------------------------------------------

    async def _load_snapshot(self) -> Snapshot | None:
        if self._store is None:
            return None
        return await read_snapshot(self._store, self.settings.namespace)

    def _on_event(self, tags: frozenset[str], hard: bool, seq: int) -> None:  # noqa: FBT001  callback
        self.reporter.hit(self.local.popular(tags), seq)
        now = self.clock.monotonic()
        self.counters.invalidated += self.local.invalidate(tags, hard=hard, now=now)

    async def changed_here(self, event: Invalidation) -> None:
        """Take in an invalidation that begins at this instance, and tell all others."""
        await self.changes.take(event)

    def _on_rejoin(self) -> None:
        self.renders.forget()
        self.local.clear()
        self.lease.lose()

    def _on_move(self) -> None:
        self.reporter.moved()

    def _on_leave(self) -> None:
        self.lease.end()
