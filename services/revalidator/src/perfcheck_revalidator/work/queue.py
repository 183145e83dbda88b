"""One durable pull consumer on the invalidation log, shared by all replicas.

nats-py's own pull subscription answers a missing consumer with silence. This one sees it (503, 409)
and creates the consumer again, so that a log that was lost and made anew is worked on from its
first message. How often an event may fail is decided by who works on it, not by the server: at the
server's `max_deliver` an event would be dropped without a dead letter.
"""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime

import msgspec
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import STREAM, SUBJECT_PREFIX
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from perfcheck_revalidator.work.broker import Broker
from perfcheck_revalidator.work.original import Original

__all__ = ["ACK_PENDING_MAX", "ACK_WAIT_S", "Delivery", "Queue"]

ACK_WAIT_S = 30.0
ACK_PENDING_MAX = 20_000
_PATIENCE_S = 0.5  # beyond the time that the server was given
_END = frozenset({"404", "408"})  # no messages; that time is over
_NS = 1_000_000_000
_FIELDS = 9  # of a reply subject without domain and account


class _Nothing(msgspec.Struct, frozen=True):
    pass


class Delivery:
    """A message that was handed out; it is handed out again unless it is settled in time."""

    def __init__(self, message: Msg, original: Original) -> None:
        self.original = original
        self.settled = False
        self._message = message

    async def ack(self) -> None:
        """Say that the work is done. Lost on its way, the event comes again, which does no harm."""
        self.settled = True
        await self._say(b"")

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to be handed out again after `delay_s`."""
        self.settled = True
        await self._say(b'-NAK {"delay": %d}' % int(delay_s * _NS))

    async def hold(self) -> None:
        """Say that the work goes on."""
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        client = self._message._client  # noqa: SLF001  Msg.ack is this, and remembers it for ever
        if not client.is_connected:
            return  # it would wait in a buffer; the server hands the event out again
        try:
            await client.publish(self._message.reply, word)
        except (NatsError, OSError) as error:
            _log.debug("seq %s: %r was not sent: %s", self.original.seq, word, error)


_log = logging.getLogger(__name__)


class Queue:
    """The consumer `durable` on the log; `failure` is why it hands nothing out, or None.

    No method raises for a broker that is down, frozen or without the log.
    """

    def __init__(self, broker: Broker, durable: str) -> None:
        self.failure: str | None = "has not asked for events yet"
        self._broker = broker
        self._durable = durable
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{durable}"
        self._client: Client | None = None
        self._inbox = ""
        self._subscription: Subscription | None = None
        # nats-py's own `next_msg` makes a task for each message, and can swallow a cancellation.
        self._answers: deque[Msg] = deque()
        self._answered = asyncio.Event()
        self._exists = False

    async def fetch(self, count_max: int, wait_s: float) -> list[Delivery]:
        """Return what there is, at most `count_max`; wait `wait_s` for the first.

        Returns nothing when there is nothing, and when `failure` says why.
        """
        try:
            await self._prepare()
            found = await self._pull(count_max, wait_s)
        except (LogUnavailableError, NatsError, OSError) as error:
            self._failed(str(error) or type(error).__name__)
            return []
        return found

    async def _prepare(self) -> None:
        client = await self._broker.client()
        if not client.is_connected:
            raise LogUnavailableError("the connection to NATS is down; it is being mended")
        if client is not self._client or self._subscription is None:
            self._inbox = client.new_inbox()
            self._answers.clear()
            self._subscription = await client.subscribe(self._inbox, cb=self._take)
            self._client = client
            self._exists = False
        if not self._exists:
            await self._create()
            self._exists = True

    async def _create(self) -> None:
        """Create the consumer; the same one may exist."""
        config = {
            "durable_name": self._durable,
            "filter_subject": f"{SUBJECT_PREFIX}.>",
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT_S * _NS),
            "max_ack_pending": ACK_PENDING_MAX,
            "max_deliver": -1,
        }
        subject = f"CONSUMER.DURABLE.CREATE.{STREAM}.{self._durable}"
        await self._broker.ask(subject, {"stream_name": STREAM, "config": config}, _Nothing)

    async def _take(self, message: Msg) -> None:
        self._answers.append(message)
        self._answered.set()

    async def _pull(self, count_max: int, wait_s: float) -> list[Delivery]:
        if self._client is None:
            raise LogUnavailableError("not connected")
        # With both, the server waits for the first message and then sends what it has.
        question = {"batch": count_max, "expires": int(wait_s * _NS), "no_wait": True}
        await self._client.publish(self._next, msgspec.json.encode(question), reply=self._inbox)
        found: list[Delivery] = []
        try:
            async with asyncio.timeout(wait_s + _PATIENCE_S):
                while len(found) < count_max:
                    while not self._answers:
                        self._answered.clear()
                        await self._answered.wait()
                    message = self._answers.popleft()
                    if not message.reply:  # a status; an event has one, whatever its own headers
                        self._ended((message.headers or {}).get("Status", ""), message)
                        return found
                    found.append(Delivery(message, _original(message)))
        except TimeoutError:
            # A healthy server says when the time is over: this one is frozen, or a new one.
            if not found:
                self._exists = False
                self._failed("the broker does not answer")
            return found
        self._succeeded()
        return found

    def _ended(self, status: str, message: Msg) -> None:
        if status in _END:
            self._succeeded()
            return
        self._exists = False  # 503: no consumer; 409: it was deleted, or its server stopped
        description = (message.headers or {}).get("Description", "").strip()
        self._failed(f"the consumer {self._durable} is gone ({status} {description})".strip())

    def _failed(self, reason: str) -> None:
        if self.failure is None:
            _log.warning("no events from the log, trying again: %s", reason)
        self.failure = reason

    def _succeeded(self) -> None:
        self.failure = None


def _original(message: Msg) -> Original:
    # $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<seq>.<own seq>.<time>.<pending>
    fields = message.reply.split(".")
    offset = 2 if len(fields) > _FIELDS else 0
    return Original(
        seq=int(fields[5 + offset]),
        subject=message.subject,
        headers=message.headers or {},
        body=message.data,
        published_at=datetime.fromtimestamp(int(fields[7 + offset]) / _NS, UTC),
        deliveries=int(fields[4 + offset]),
    )
