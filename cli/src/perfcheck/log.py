"""Publishing invalidations to the log (NATS JetStream)."""

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from asgi_isr import events
from asgi_isr.logs.nats import inbox_prefix, without_credentials
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from perfcheck.exits import TargetError

SUBJECT = f"{events.SUBJECT_PREFIX}.cli"
SOURCE = "/perfcheck/cli"
CONNECT_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 2.0


class Publisher:
    """An open connection that publishes invalidations."""

    def __init__(self, stream: JetStreamContext, url: str) -> None:
        """`url` is only named in errors."""
        self._stream = stream
        self._url = without_credentials(url)

    async def publish(
        self, event: events.Invalidation, *, now: dt.datetime, timeout_s: float
    ) -> int:
        """Publish an event and return its sequence in the log, once the log has it.

        Raises:
            TargetError: when the log does not confirm it in time, or did not take it as new.
            InvalidEventError: when the event must not be published.

        """
        headers = events.headers(str(uuid.uuid4()), SOURCE, now)
        body = events.encode(event)
        try:
            ack = await self._stream.publish(SUBJECT, body, timeout=timeout_s, headers=headers)
        except (NatsError, TimeoutError) as error:
            raise TargetError(
                f"the log at {self._url} did not confirm the event: {error!r}; is the stream "
                f"{events.STREAM} there (`perfcheck status`)?"
            ) from None
        if ack.duplicate:  # a new id that the log knows already: something answered for it wrongly
            raise TargetError(f"the log at {self._url} took a new event for a duplicate")
        return ack.seq


@asynccontextmanager
async def publisher(url: str) -> AsyncIterator[Publisher]:
    """Connect to NATS at `url`; raises `TargetError` when nothing answers there in time."""
    connection = Client()
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await connection.connect(
                url,
                name="perfcheck-cli",
                inbox_prefix=inbox_prefix(url),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=note,
            )
    except (NatsError, OSError, TimeoutError) as error:
        cause = errors[-1] if errors else error  # the client's own says only "no servers"
        reason = str(cause) or type(cause).__name__
        raise TargetError(f"NATS at {without_credentials(url)} does not answer: {reason}") from None
    try:
        yield Publisher(connection.jetstream(), url)
    finally:
        with suppress(NatsError, TimeoutError):
            await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT_S)
