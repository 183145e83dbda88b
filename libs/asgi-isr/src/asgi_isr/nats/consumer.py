"""`PullConsumer`: one durable pull consumer, shared by all who fetch from it.

nats-py's own pull subscription answers a missing consumer with silence. This one sees it (503, 409)
and sets the consumer up again, so that a stream that was lost and made again is worked on from its
first message; or waits until its owner has.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.ack_subject import ACK_PREFIX, NS, ack_offset
from asgi_isr.nats.api import API_PREFIX, Api
from asgi_isr.nats.consumer_spec import ConsumerSpec, ensure_consumer
from asgi_isr.nats.link import Link

__all__ = ["Delivery", "PullConsumer"]

CONSUMER_CHECK_S = 30.0  # between two looks whether the consumer is still what it must be
_ANSWER_MARGIN_S = 0.5  # beyond the time that the server was given
_NOTHING_LEFT = frozenset({"404", "408"})  # no messages; that time is over
_logger = logging.getLogger(__name__)


class Delivery:
    """A message that was handed out; it is handed out again unless it is settled in time.

    `seq` is its place in the stream, `stored_s` when the stream took it (seconds since 1970), and
    `deliveries` how often it was handed out, this time included. No method raises for a broker that
    is away: what was not said, the end of `ack_wait_s` says.
    """

    __slots__ = ("_client", "_reply", "body", "deliveries", "headers", "seq", "settled",
                 "stored_s", "subject")  # fmt: skip

    def __init__(self, client: Client, message: Msg) -> None:
        tokens = message.reply.split(".")
        at = ack_offset(tokens)
        self.deliveries = int(tokens[at])
        self.seq = int(tokens[at + 1])
        self.stored_s = int(tokens[at + 3]) / NS
        self.subject = message.subject
        self.headers: Mapping[str, str] = {} if message.headers is None else message.headers
        self.body = message.data
        self.settled = False
        self._client = client
        self._reply = message.reply

    async def ack(self) -> None:
        """Say that the work is done. Lost on its way, the message comes again."""
        self.settled = True
        await self._say(b"")

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to be handed out again after `delay_s`."""
        self.settled = True
        await self._say(b'-NAK {"delay": %d}' % int(delay_s * NS))

    async def term(self) -> None:
        """Say that it shall not be handed out again, though nobody could work on it."""
        self.settled = True
        await self._say(b"+TERM")

    async def hold(self) -> None:
        """Say that the work goes on: `ack_wait_s` begins again."""
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        if not self._client.is_connected:
            return  # it would wait in a buffer; the server hands the message out again
        try:
            await self._client.publish(self._reply, word)
        except (NatsError, OSError) as error:
            _logger.debug("seq %s: %r was not sent: %s", self.seq, word, error)


class PullConsumer:
    """Fetches from the consumer `spec` over `link`; creates or repairs it at first and each 30 s.

    Not where it is `foreign`: then another account owns it, and this one imports its API at
    `api_prefix`; what `spec` says beside the names is then its owner's affair. For one task at a
    time.
    """

    def __init__(
        self, link: Link, spec: ConsumerSpec, *, api_prefix: str = API_PREFIX, foreign: bool = False
    ) -> None:
        self._link = link
        self._spec = spec
        self._api = Api(api_prefix)
        self._foreign = foreign
        self._next = self._api.consumer("MSG.NEXT", spec.stream, spec.durable)
        self._client: Client | None = None
        self._inbox = ""
        self._subscription: Subscription | None = None
        # nats-py's own `next_msg` makes a task for each message, and can swallow a cancellation.
        self._answers: deque[Msg] = deque()
        self._answered = asyncio.Event()
        self._exists = False
        self._checked_at = 0.0

    async def fetch(self, count_max: int, wait_s: float) -> list[Delivery]:
        """Return what there is, at most `count_max`; wait `wait_s` for the first.

        Raises `LogUnavailableError` for a broker that is down or frozen, a stream that is missing,
        and a consumer that is gone; the next call creates it again. Raises `LogConfigurationError`
        for one that is otherwise than it must be and cannot be repaired.
        """
        try:
            client = await self._prepared()
            return await self._pull(client, count_max, wait_s)
        except (NatsError, OSError) as error:
            raise LogUnavailableError(str(error) or type(error).__name__) from error

    async def _prepared(self) -> Client:
        client = await self._link.client()
        if not client.is_connected:
            raise LogUnavailableError("not connected to NATS; reconnecting")
        if client is not self._client or self._subscription is None:
            self._inbox = client.new_inbox()
            self._answers.clear()
            self._answered = asyncio.Event()  # of this event loop
            self._subscription = await client.subscribe(self._inbox, cb=self._take)
            self._client = client
            self._exists = False
        now = asyncio.get_running_loop().time()
        if not self._foreign and (not self._exists or now - self._checked_at >= CONSUMER_CHECK_S):
            await ensure_consumer(self._link, self._spec, self._api)
            self._exists, self._checked_at = True, now
        return client

    async def _take(self, message: Msg) -> None:
        self._answers.append(message)
        self._answered.set()

    async def _pull(self, client: Client, count_max: int, wait_s: float) -> list[Delivery]:
        # With both, the server waits for the first message and then sends what it has.
        question = {"batch": count_max, "expires": int(wait_s * NS), "no_wait": True}
        await client.publish(self._next, msgspec.json.encode(question), reply=self._inbox)
        found: list[Delivery] = []
        try:
            async with asyncio.timeout(wait_s + _ANSWER_MARGIN_S):
                while len(found) < count_max:
                    while not self._answers:
                        self._answered.clear()
                        await self._answered.wait()
                    message = self._answers.popleft()
                    if not message.reply.startswith(ACK_PREFIX):
                        # A status: a message has such a reply, whatever its own headers.
                        self._end(message, found)
                        break
                    found.append(Delivery(client, message))
        except TimeoutError as error:
            # A healthy server says when the time is over: this one is frozen, or a new one.
            if not found:
                self._exists = False
                raise LogUnavailableError("the broker does not answer") from error
        return found

    def _end(self, message: Msg, found: list[Delivery]) -> None:
        """Take in the status that ends a fetch; an error waits until what was found is taken."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in _NOTHING_LEFT:
            return
        self._exists = False  # 503: no consumer; 409: it was deleted, or its server stopped
        if not found:
            description = headers.get("Description", "").strip()
            said = f"{status} {description}".strip()
            raise LogUnavailableError(f"the consumer {self._spec.durable} is gone ({said})")
