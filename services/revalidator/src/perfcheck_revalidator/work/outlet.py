"""`Outlet`: publishes into a stream of ours until the stream has taken it.

A stream of ours is created where it is missing; one of another account is that one's affair. What
waits behind an outlet stays in the log meanwhile.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress

from asgi_isr.backoff import Backoff
from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats import Link, LogConfigurationError, StreamSpec, ensure_stream
from asgi_isr.ports import Clock

__all__ = ["Outlet"]

_FIRST_S = 0.1
_OUTLET_RETRY_S_MAX = 5.0
_log = logging.getLogger(__name__)


class Outlet:
    """The stream `name`, which takes what this service has to say; with `spec` it is ours."""

    def __init__(
        self, link: Link, name: str, clock: Clock, *, spec: StreamSpec | None = None
    ) -> None:
        self._link = link
        self._name = name
        self._spec = spec
        self._clock = clock
        self._refusal: str | None = None
        self._misconfigured: str | None = None
        self._checked = False

    @property
    def unhealthy_reason(self) -> str | None:
        """Why the stream takes nothing now, or must not be configured as it is; or None."""
        return self._refusal or self._misconfigured

    async def put(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish until the stream has taken it; give it up only by being cancelled.

        A stream that is configured otherwise than it must be is told in `unhealthy_reason`; it is
        published into all the same as long as it takes what comes.
        """
        backoff = Backoff(first_s=_FIRST_S, max_s=_OUTLET_RETRY_S_MAX, jitter=random.random)
        if not self._checked:
            with suppress(LogUnavailableError):  # told by the attempt that follows
                await self.ensure()
        while True:
            try:
                await self._link.publish(subject, body, headers)
            except LogUnavailableError as error:
                self._failed(str(error))
            else:
                self._succeeded()
                return
            self._checked = False  # it may have been deleted, and made again by somebody else
            with suppress(LogUnavailableError):
                await self.ensure()
            await asyncio.sleep(backoff.next_s())

    async def ensure(self) -> None:
        """Create a stream of ours, or check it; raises `LogUnavailableError`."""
        if self._spec is None:
            return
        js = (await self._link.client()).jetstream()
        try:
            await ensure_stream(js, self._spec, wall=self._clock.wall)
        except LogConfigurationError as error:
            if self._misconfigured is None:
                _log.error("%s", error)
            self._misconfigured = str(error)
        else:
            self._misconfigured = None
            self._checked = True

    def _failed(self, reason: str) -> None:
        if self._refusal is None:
            _log.warning("%s takes nothing, trying again: %s", self._name, reason)
        self._refusal = reason

    def _succeeded(self) -> None:
        if self._refusal is not None:
            _log.info("%s takes messages again", self._name)
        self._refusal = None
