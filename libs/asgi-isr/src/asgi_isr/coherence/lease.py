"""The lease: until when this instance may call pages fresh (rule 8 of the coherence protocol)."""

import asyncio
import logging
import random
import sys
from collections.abc import Awaitable, Callable

from asgi_isr.backoff import Jitter
from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.rules import NEVER, RULES, Rules
from asgi_isr.errors import LogUnavailableError
from asgi_isr.ports import Clock, Log, Mark

logger = logging.getLogger(__name__)

PAUSE_S_MAX = 2.0  # between two attempts that failed


class Lease:
    """Renews itself by marks that the follower has consumed; ends by itself.

    `register` is awaited before each renewal: whoever may call a page fresh is in the live set.
    `lose` is to be called when the follower rejoins, `end` when the instance leaves.
    """

    def __init__(
        self,
        log: Log,
        index: Index,
        follower: Follower,
        clock: Clock,
        *,
        lease_s: float,
        register: Callable[[], Awaitable[None]],
        rules: Rules = RULES,
        jitter: Jitter = random.random,
    ) -> None:
        self._log = log
        self._index = index
        self._follower = follower
        self._clock = clock
        self._lease_s = lease_s
        self._register = register
        self._rules = rules
        self._jitter = jitter
        self._left = False
        self._asked_at = NEVER  # for the mark of the lease that runs
        self._registered_at = NEVER
        self.until = NEVER  # on the monotonic clock; compared at lookup

    @property
    def valid(self) -> bool:
        """Whether pages may be called fresh now."""
        return self._rules.lease_valid(self._clock.monotonic(), self.until)

    def lose(self) -> None:
        """Call no page fresh until the lease was renewed."""
        self._run_from(NEVER)

    def end(self) -> None:
        """Call no page fresh from now on, for good."""
        self._left = True
        self._run_from(self._asked_at)

    def _run_from(self, asked_at: float) -> None:
        self._asked_at = asked_at
        self.until = self._rules.lease_until(asked_at, self._lease_s, left=self._left)

    async def run(self) -> None:
        """Renew the lease until cancelled."""
        lease_s = self._lease_s
        await self._follower.attached()
        while True:
            try:
                async with asyncio.timeout(lease_s):
                    renewed = await self._renew()
            except Exception as error:  # as in the follower: this task must not end
                renewed = False
                known = isinstance(error, LogUnavailableError | TimeoutError)
                level = logging.INFO if known else logging.WARNING
                logger.log(level, "the lease was not renewed: %r", error, exc_info=not known)
            if renewed:
                await asyncio.sleep(lease_s / 3)
            else:
                self._follower.counters.lease_failures += 1
                pause_s = min(lease_s / 3, PAUSE_S_MAX)
                await asyncio.sleep(pause_s * (0.25 + 0.75 * self._jitter()))

    async def _renew(self) -> bool:
        asked_at = self._clock.monotonic()
        changes = self._index.changes
        if not self._rules.registered(self._registered_at, asked_at):
            await self._register()
            self._registered_at = self._clock.monotonic()
        mark = await self._log.mark()
        self._index.marked(changes, mark.seq)
        if not await self._follower.still_holds():
            return False
        rejoins = self._follower.counters.rejoins
        if not await self._consumed(mark) or rejoins != self._follower.counters.rejoins:
            return False
        self._run_from(asked_at)
        return True

    async def _consumed(self, mark: Mark) -> bool:
        """Wait until this very mark has been consumed, for as long as a lease."""

        def consumed() -> bool:
            position = self._follower.position
            return position is not None and self._rules.consumed(
                mark, position, self._follower.marks
            )

        # Nobody else who waits may hold up the lease: no bound counts here.
        return consumed() or (
            await self._follower.wait_for(mark.seq, self._lease_s, waiters_max=sys.maxsize)
            and consumed()
        )
