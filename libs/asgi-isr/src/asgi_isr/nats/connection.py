"""A connection to NATS that reconnects by itself, and says once what changed."""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import DEFAULT_INBOX_PREFIX, Client, Server
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.cancellation import keeping_cancellation
from asgi_isr.nats.headers import Headers

NATS_CONNECT_S_MAX = 2.0
RECONNECT_WAIT_S_MIN = 0.1
RECONNECT_WAIT_S_MAX = 2.0
PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
_NATS_CLOSE_S_MAX = 1.0

_logger = logging.getLogger(__name__)


async def connect(
    url: str,
    *,
    name: str,
    timeout_s: float = NATS_CONNECT_S_MAX,
    on_change: Callable[[], None] | None = None,
    tls_ca_file: str = "",
) -> Client:
    """Connect to the servers at `url` (several: separated by commas).

    User and password of the first are those of all, and the client's inboxes begin with
    `inbox_prefix`. With the scheme `tls` the server must show a certificate of a CA in the PEM file
    `tls_ca_file`, else of one that the system trusts; nothing secret is sent before that.

    A client that loses its connection reconnects for ever, with waits of 0.1 to 2 s. `on_change` is
    called when it breaks and when it stands again. Raises `LogUnavailableError` if the first
    connection does not stand within `timeout_s`.
    """
    servers = [server.strip() for server in url.split(",")]
    tls = any(server.startswith("tls://") for server in servers)
    client = _TlsClient() if tls else _Client()
    user, password = _credentials(url)
    journal = _Journal(client, without_credentials(url), on_change)
    try:
        async with asyncio.timeout(timeout_s), keeping_cancellation():
            await client.connect(
                servers=servers,
                name=name,
                user=user,
                password=password,
                inbox_prefix=inbox_prefix(url),
                tls=ssl.create_default_context(cafile=tls_ca_file or None) if tls else None,
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
        reason = journal.last_error or _reason(error, timeout_s)
        raise LogUnavailableError(f"cannot connect to NATS at {journal.place}: {reason}") from error
    except BaseException:  # cancelled: leave no socket behind
        await close(client)
        raise
    journal.established = True
    return client


def inbox_prefix(url: str) -> str:
    """Return how the inboxes of the user in `url` begin: `_INBOX_<user>`, without one `_INBOX`.

    So a server can let each user listen to its own answers alone.
    """
    user = unquote(_first(url).username or "")
    # What has a meaning in a subject cannot be in a prefix; such a user is named otherwise there.
    return f"_INBOX_{user}" if re.fullmatch(r"[\w-]+", user) else DEFAULT_INBOX_PREFIX.decode()


async def close(client: Client) -> None:
    """Close `client` within a second; what it had not sent by then is lost."""
    try:
        async with asyncio.timeout(_NATS_CLOSE_S_MAX):
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


class _Client(Client):
    """A client that reads on, whatever a publisher wrote into subject and headers of a message."""

    async def _process_headers(self, headers: bytes | None) -> Headers | None:  # type: ignore[override]  # a dict there
        return Headers(headers) if headers else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any
    ) -> Msg:
        return self.msg_class(
            _client=self,
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _sid=sid,
        )


class _TlsClient(_Client):
    """A client that gives its password to a server only after TLS; nats-py asks the server."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise NatsError("nats: the URL asks for TLS, and the server does not offer it")
        return super()._connect_command()


def _first(url: str) -> SplitResult:
    return urlsplit(url.partition(",")[0].strip())


def _credentials(url: str) -> tuple[str | None, str | None]:
    """Return user and password as options: nats-py gives those to servers it hears of, too."""
    first = _first(url)
    if not first.username or first.password is None:
        return None, None
    return unquote(first.username), unquote(first.password)


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return str(error) or type(error).__name__


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
        task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()

    async def error(self, error: Exception) -> None:
        if not self.established:
            self._end_if_cancelled()
        text = str(error) or type(error).__name__
        if text != self.last_error and self.established:
            _logger.warning("NATS at %s: %s", self.place, text)
        self.last_error = text

    def _end_if_cancelled(self) -> None:
        """End connecting for the first time, of which nats-py has swallowed the cancellation.

        It would try for ever, past the time limit. It calls `error` in the task that connects.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling() > self._cancelling:
            raise asyncio.CancelledError

    async def disconnected(self) -> None:
        if not self._client.is_closed:
            _logger.warning("NATS at %s: disconnected; reconnecting", self.place)
        self._changed()

    async def reconnected(self) -> None:
        self.last_error = ""
        _logger.info("NATS at %s: reconnected", self.place)
        self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()
