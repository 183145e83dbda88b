"""A connection to NATS that mends itself, and says once what changed."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client, Server

from asgi_isr.errors import LogUnavailableError

CONNECT_TIMEOUT_S = 2.0
RECONNECT_WAIT_S_MIN = 0.1
RECONNECT_WAIT_S_MAX = 2.0
PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
_CLOSE_TIMEOUT_S = 1.0

_logger = logging.getLogger(__name__)


async def connect(
    url: str,
    *,
    name: str,
    timeout_s: float = CONNECT_TIMEOUT_S,
    on_change: Callable[[], None] | None = None,
) -> Client:
    """Connect to the servers at `url` (several: separated by commas).

    A connection that breaks later is tried again for ever, with waits of 0.1 to 2 s. `on_change` is
    called when it breaks and when it stands again. Raises `LogUnavailableError` if the first
    connection does not stand within `timeout_s`.
    """
    client = Client()
    journal = _Journal(client, without_credentials(url), on_change)
    try:
        async with asyncio.timeout(timeout_s):
            await client.connect(
                servers=[server.strip() for server in url.split(",")],
                name=name,
                error_cb=journal.error,
                disconnected_cb=journal.disconnected,
                reconnected_cb=journal.reconnected,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                # nats-py's types want whole seconds; it compares and sleeps, so any number will do.
                reconnect_time_wait=RECONNECT_WAIT_S_MIN,  # type: ignore[arg-type]  # see above
                reconnect_to_server_handler=_next_server,
                connect_timeout=timeout_s,  # type: ignore[arg-type]  # see above
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_OUTSTANDING_MAX,
            )
    except Exception as error:  # of many families: sockets, TLS, nats, and the time limit
        await close(client)
        reason = journal.last_error or f"no answer within {timeout_s:g} s"
        raise LogUnavailableError(f"cannot connect to NATS at {journal.place}: {reason}") from error
    except BaseException:  # cancelled: leave no socket behind
        await close(client)
        raise
    journal.established = True
    return client


async def close(client: Client) -> None:
    """Close `client` within a second; what it had not sent by then is lost."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await client.close()
    except asyncio.CancelledError:
        # nats-py cancels its own attempt to reconnect, and with it a future that `close` awaits
        # too. That is not a cancellation of this task.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except Exception as error:  # noqa: BLE001 - whatever fails, nobody could do anything about it
        _logger.debug("closing a connection to NATS: %r", error)


def without_credentials(url: str) -> str:
    """Return `url` as it may be logged."""
    return re.sub(r"//[^@/,]*@", "//", url)


def _next_server(servers: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """Choose the server that failed least, and the wait before it is tried, in seconds."""
    server = min(servers, key=lambda candidate: candidate.reconnects)
    doubled = RECONNECT_WAIT_S_MIN * 2 ** min(server.reconnects, 10)
    return server, min(RECONNECT_WAIT_S_MAX, doubled)


class _Journal:
    """The callbacks of one connection: each change is logged once, not each attempt."""

    def __init__(self, client: Client, place: str, on_change: Callable[[], None] | None) -> None:
        self.place = place
        self.established = False
        self.last_error = ""
        self._client = client
        self._on_change = on_change

    async def error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self.last_error and self.established:
            _logger.warning("NATS at %s: %s", self.place, text)
        self.last_error = text

    async def disconnected(self) -> None:
        if not self._client.is_closed:
            _logger.warning("NATS at %s: disconnected; trying again until it answers", self.place)
        self._changed()

    async def reconnected(self) -> None:
        self.last_error = ""
        _logger.info("NATS at %s: connected again", self.place)
        self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()
