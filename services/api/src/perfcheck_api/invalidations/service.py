"""Use cases of invalidations: publish one, wait until it is applied.

It knows neither Litestar nor the driver.
"""

import hashlib
import logging
import time
from collections.abc import Callable

from asgi_isr.coherence import Observer, Reached
from asgi_isr.coherence import Progress as Reach
from asgi_isr.events import Invalidation
from perfcheck_contracts import Applied

from perfcheck_api import outbox
from perfcheck_api.db import Connection, Database
from perfcheck_api.errors import ConflictError, Fault, RejectedError
from perfcheck_api.invalidations import repository
from perfcheck_api.invalidations.group_commit import GroupCommit
from perfcheck_api.invalidations.model import (
    IDEMPOTENCY_KEY_LIFETIME_S,
    applied_since,
    key_lock,
)
from perfcheck_api.invalidations.repository import KeptAnswer
from perfcheck_api.outbox import Appended

KEYS_PRUNED_MAX = 2000  # at once
REQUESTS_WAITING_MAX = 1000  # until their event is applied; others get what is known

_log = logging.getLogger(__name__)


class InvalidationsService:
    """Publishes invalidations through the outbox, and waits until they are applied.

    `publish` works while `run` runs. Every method but `wait` raises `DatabaseUnavailableError` when
    PostgreSQL cannot answer.
    """

    def __init__(
        self,
        database: Database,
        observer: Observer,
        *,
        waiting_max: int = REQUESTS_WAITING_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._group = GroupCommit(database)
        self._observer = observer
        self._waiting_max = waiting_max
        self._waiting = 0
        self._monotonic = monotonic

    async def run(self) -> None:
        """Commit what is published, until cancelled."""
        await self._group.run()

    def now(self) -> float:
        """Return the time from which `wait` counts, in seconds."""
        return self._monotonic()

    async def publish(
        self,
        event: Invalidation,
        body: bytes,
        *,
        caller: str,
        key: str | None,
        traceparent: str | None = None,
    ) -> Appended:
        """Commit `event` to the outbox; with a `key`, once a day for each `caller`.

        Raises:
            ConflictError: a request with the same key is under way.
            RejectedError: the key was used for another `body`.

        """
        if key is None:
            return await self._group.append(event, traceparent)
        async with self._database.transaction() as connection:
            return await self._publish_once(
                connection, event, body, caller=caller, key=key, traceparent=traceparent
            )

    async def _publish_once(
        self,
        connection: Connection,
        event: Invalidation,
        body: bytes,
        *,
        caller: str,
        key: str,
        traceparent: str | None,
    ) -> Appended:
        body_hash = hashlib.sha256(body).digest()
        if not await repository.try_key(connection, key_lock(caller, key)):
            raise ConflictError(
                Fault(
                    "Idempotency-Key",
                    "a request with this key is in progress; try again in a moment",
                )
            )
        kept = await repository.kept_answer(
            connection, caller=caller, key=key, lifetime_s=IDEMPOTENCY_KEY_LIFETIME_S
        )
        if kept is None:
            appended = await outbox.append(connection, event, traceparent=traceparent)
            answer = KeptAnswer(body_hash, appended)
            await repository.keep_answer(connection, caller=caller, key=key, answer=answer)
            return appended
        if kept.body_hash != body_hash:
            raise RejectedError(
                Fault("Idempotency-Key", "was already used with a different body; use a new key")
            )
        return kept.appended

    async def wait(self, source_seq: int, *, timeout_s: float, started: float) -> Applied:
        """Wait until every live instance has applied all up to `source_seq`, or `timeout_s`.

        Milliseconds count from `started`, a result of `now`.
        """
        reached = Reached(outbox.OUTBOX_SOURCE, source_seq)
        if self._waiting >= self._waiting_max:
            _log.warning(
                "%d requests already wait for instances; this one is answered at once",
                self._waiting,
            )
            return await self._told(self._observer.applied(reached), started)
        self._waiting += 1
        try:
            return await self._told(await self._observer.wait(reached, timeout_s), started)
        finally:
            self._waiting -= 1

    async def _told(self, reach: Reach, started: float) -> Applied:
        unknown = "" if reach.everywhere else await self._observer.unhealthy_reason() or ""
        return applied_since(reach, started, unknown=unknown)

    async def prune_keys(self, connection: Connection) -> int:
        """Delete idempotency keys that ended, at most `KEYS_PRUNED_MAX`; return how many."""
        return await repository.prune_keys(
            connection, lifetime_s=IDEMPOTENCY_KEY_LIFETIME_S, rows_max=KEYS_PRUNED_MAX
        )
