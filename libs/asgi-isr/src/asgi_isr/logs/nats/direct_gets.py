"""`DirectGets`: messages of the stream by sequence, many at once, from whichever replica answers.

The answers are taken from a subscription of our own: nats-py's `request` gives the first alone, and
fails where a publisher's header fields look like a status of the server.
"""

import asyncio
import secrets

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import STREAM
from asgi_isr.logs.nats.messages import republished
from asgi_isr.nats.api import Api
from asgi_isr.ports import LogMessage

__all__ = ["DirectGets"]

_NO_RESPONDERS = "503"


class DirectGets:
    """Asks on `client` at `api`: `open`, then `get` again and again, one at a time, `close`."""

    def __init__(self, client: Client, api: Api, *, timeout_s: float) -> None:
        self._client = client
        self._subject = api.direct_get(STREAM)
        self._timeout_s = timeout_s
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._reply = ""  # where the answers to the question that waits come; others are late
        self._found: list[LogMessage] = []
        self._next = 0
        self._last = 0
        self._status = ""
        self._ended = asyncio.Event()

    async def open(self) -> None:
        """Subscribe to the answers."""
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def get(self, first: int, last: int, bytes_max: int) -> list[LogMessage]:
        """Return the messages from `first` to `last` as far as they follow each other.

        At most `bytes_max`, one message at least. That it returns none proves nothing: a replica
        may lag behind. Raises `LogUnavailableError` when nobody answers.
        """
        # Nobody can answer where he cannot guess.
        self._reply = f"{self._inbox}.{secrets.token_hex(8)}"
        self._found, self._next, self._last, self._status = [], first, last, ""
        self._ended.clear()
        question = b'{"seq":%d,"batch":%d,"max_bytes":%d}' % (first, last - first + 1, bytes_max)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.publish(self._subject, question, reply=self._reply)
                await self._ended.wait()
        except TimeoutError as error:
            if not self._found:
                said = f"no answer from {self._subject} within {self._timeout_s:g} s"
                raise LogUnavailableError(said) from error
        except (NatsError, OSError) as error:
            raise LogUnavailableError(f"cannot ask {self._subject}: {error}") from error
        if self._status == _NO_RESPONDERS and not self._found:
            raise LogUnavailableError(f"no responders at {self._subject}")
        self._reply = ""
        return self._found

    async def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _take(self, answer: Msg) -> None:
        if answer.subject != self._reply:
            return
        message = republished(answer.headers, answer.data)
        if message is None:  # the end of the batch, or why there is none
            self._status = (answer.headers or {}).get("Status", "")
            self._ended.set()
        elif message.seq == self._next:
            self._found.append(message)
            self._next += 1
            if message.seq == self._last:
                self._ended.set()
