"""Work in sessions: whatever breaks ends one, and after a bounded wait the next one begins."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asgi_isr.backoff import Backoff
from asgi_isr.errors import IsrError
from asgi_isr.nats import end_if_cancelled
from nats.errors import Error as NatsError

from perfcheck_api.db import DatabaseError
from perfcheck_api.errors import ApiError

__all__ = ["Sessions"]

_EXPECTED = (ApiError, IsrError, DatabaseError, NatsError, OSError, TimeoutError)


class Sessions:
    """Runs `session` again and again; `what` says what does not happen while it fails.

    `unhealthy_reason` is what is wrong now, safe to show, or None. Each change of it is logged
    once, not each attempt.
    """

    def __init__(
        self,
        session: Callable[[], Awaitable[None]],
        *,
        what: str,
        backoff: Backoff,
        logger: logging.Logger,
    ) -> None:
        self._session = session
        self._what = what
        self._backoff = backoff
        self._log = logger
        self.unhealthy_reason: str | None = f"{what} yet"

    async def run(self) -> None:
        """Run sessions until cancelled. Never raises: it logs errors and tries again."""
        while True:
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001  a session may end for any reason
                end_if_cancelled(error)
                self._report(error)
            await asyncio.sleep(self._backoff.next_s())

    def succeeded(self) -> None:
        """Note that the work goes well: the next wait is short."""
        self.unhealthy_reason = None
        self._backoff.reset()

    def _report(self, error: Exception) -> None:
        cause = error
        while isinstance(cause, ExceptionGroup):
            cause = cause.exceptions[0]
        # The text of a driver's error may hold addresses and names: it belongs in the log only.
        shown = str(cause) if isinstance(cause, ApiError | IsrError) else type(cause).__name__
        reason = f"{self._what}: {shown}"
        if reason == self.unhealthy_reason:
            return  # said already; the next attempt comes soon
        self.unhealthy_reason = reason
        if isinstance(cause, _EXPECTED):
            self._log.warning("%s (%s)", reason, cause)
        else:
            self._log.error("%s", reason, exc_info=error)
