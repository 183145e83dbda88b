"""One reading of the stream: a short-lived push consumer of our own, checked for every loss.

nats-py's ordered consumer repairs itself behind its reader's back and costs several tasks for each
message. Here a loss of any kind ends the reading, and the follower attaches again at its position.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import SEQUENCE_HEADER, STREAM
from asgi_isr.nats.ack_subject import ack_offset
from asgi_isr.nats.requests import request
from asgi_isr.ports import LogMessage

READ_MESSAGES_MAX = 256
READ_BYTES_MAX = 64 * 1024  # of bodies; one message may be larger
PENDING_MESSAGES_MAX = 100_000
PENDING_BYTES_MAX = 64 * 1024 * 1024
HEARTBEAT_S = 1.0
SILENT_HEARTBEATS_MAX = 3
INACTIVE_S = 30  # the server removes a consumer that nobody listened to for so long
_READER_CLOSE_S_MAX = 1.0
_ACK_PREFIX = "$JS.ACK."
_SOURCE_TOKEN = 3  # cache.invalidations.v1.<source>, cache.marks.v1.<source>
_SOURCE_SEQ_DIGITS_MAX = 18


def counted(message: Msg) -> tuple[str, int | None]:
    """Return the source of a message and its `source_seq`, if its source counts its events."""
    headers = message.headers
    text = headers.get(SEQUENCE_HEADER) if headers else None
    if not text or not text.isdecimal() or len(text) > _SOURCE_SEQ_DIGITS_MAX:
        return "", None
    source = message.subject.split(".", _SOURCE_TOKEN)[_SOURCE_TOKEN:]
    return (source[0], int(text)) if source else ("", None)


class Reader:
    """Reads the stream above `after` on `client`: `open`, then `batch` again and again, `close`.

    What came in and was not asked for is bounded; over `pending_messages_max` the reading fails.
    """

    def __init__(
        self,
        client: Client,
        after: int,
        *,
        timeout_s: float,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
    ) -> None:
        self._client = client
        self._position = after
        self._timeout_s = timeout_s
        self._pending_messages_max = pending_messages_max
        # Messages, and between them the subjects of flow control that wait for the reader.
        self._pending: deque[LogMessage | str] = deque()
        self._arrived = asyncio.Event()
        self._failure = ""
        self._delivered = 0  # the consumer's own sequence
        self._reconnects = client.stats["reconnects"]
        self._inbox = client.new_inbox()
        self._name = self._inbox.rpartition(".")[2]
        self._subscription: Subscription | None = None

    def wake(self) -> None:
        """Have `batch` look at the connection now."""
        self._arrived.set()

    def end(self, reason: str) -> None:
        """Have `batch` raise, once what came has been returned."""
        self._fail(reason)
        self._arrived.set()

    async def open(self) -> None:
        """Create the consumer. Raises `LogUnavailableError`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                self._subscription = await self._client.subscribe(
                    self._inbox,
                    cb=self._receive,
                    pending_msgs_limit=self._pending_messages_max,
                    pending_bytes_limit=PENDING_BYTES_MAX,
                )
        except TimeoutError as error:
            raise LogUnavailableError("NATS did not take the subscription in time") from error
        except (NatsError, OSError) as error:
            raise LogUnavailableError(f"cannot subscribe: {error}") from error
        config = {
            "name": self._name,
            "deliver_subject": self._inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            "inactive_threshold": int(INACTIVE_S * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        await request(
            self._client,
            f"$JS.API.CONSUMER.CREATE.{STREAM}.{self._name}",
            msgspec.json.encode({"stream_name": STREAM, "config": config}),
            msgspec.Raw,
            timeout_s=self._timeout_s,
        )

    async def batch(self) -> Sequence[LogMessage]:
        """Wait for messages; return what came, in order, within the bounds of a batch.

        Raises `LogUnavailableError` after a loss, once what came before it has been returned.
        """
        silent = 0
        while True:
            batch: list[LogMessage] = []
            bytes_left = READ_BYTES_MAX
            flow = ""
            while self._pending and len(batch) < READ_MESSAGES_MAX and bytes_left > 0:
                item = self._pending.popleft()
                if isinstance(item, str):
                    flow = item
                else:
                    batch.append(item)
                    bytes_left -= len(item.body)
            if flow:
                await self._let_flow(flow)
            if batch:
                return batch
            self._check()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._arrived.wait()
                self._arrived.clear()
                silent = 0
            except TimeoutError as error:
                silent += 1
                if silent >= SILENT_HEARTBEATS_MAX:
                    # The consumer or the stream was deleted, or the server hangs.
                    raise LogUnavailableError(
                        f"no heartbeat of the stream for {silent * HEARTBEAT_S:g} s"
                    ) from error

    async def close(self) -> None:
        """Unsubscribe and delete the consumer, within a second; what fails, the server does."""
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(_READER_CLOSE_S_MAX):
                if self._subscription is not None:
                    await self._subscription.unsubscribe()
                if self._client.is_connected:
                    # No answer is awaited: a reader that was cancelled must end at once.
                    await self._client.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{self._name}")

    async def _receive(self, message: Msg) -> None:
        """Take a message in; nats-py calls it for each, in order. It never waits."""
        self._arrived.set()
        reply = message.reply
        if not reply.startswith(_ACK_PREFIX):
            self._control(message)
            return
        if self._failure:
            return
        tokens = reply.split(".")
        at = ack_offset(tokens)
        seq, delivered, stamp = int(tokens[at + 1]), int(tokens[at + 2]), tokens[at + 3]
        if delivered != self._delivered + 1:
            self._fail(f"the messages after delivery {self._delivered} were lost on the way")
        elif seq <= self._position:
            self._fail(f"sequence {seq} came after {self._position}: the log was set back")
        elif len(self._pending) >= self._pending_messages_max:
            self._fail(f"more than {self._pending_messages_max} messages wait for the reader")
        else:
            self._delivered = delivered
            self._position = seq
            source, source_seq = counted(message)
            self._pending.append(LogMessage(seq, stamp, message.data, source, source_seq))

    def _control(self, message: Msg) -> None:
        """Take in a heartbeat, a request of flow control, or the end of the consumer."""
        headers = message.headers or {}
        if headers.get("Status") != "100":
            reason = headers.get("Description") or "a message without a status"
            self._fail(f"the consumer ended: {reason}")
            return
        flow = message.reply or headers.get("Nats-Consumer-Stalled")
        if flow and not (self._pending and self._pending[-1] == flow):  # a heartbeat repeats it
            # Answered when the reader has taken what came before it: so the server sends no faster
            # than the reader reads.
            self._pending.append(flow)
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) != self._delivered:
            self._fail(f"the messages after delivery {self._delivered} were lost on the way")

    def _fail(self, failure: str) -> None:
        self._failure = self._failure or failure

    def _check(self) -> None:
        if self._failure:
            raise LogUnavailableError(self._failure)
        if not self._client.is_connected or self._client.stats["reconnects"] != self._reconnects:
            raise LogUnavailableError("the connection to NATS broke while reading")

    async def _let_flow(self, subject: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.publish(subject)
        except (NatsError, OSError, TimeoutError):
            # What is in `batch` is still good; the next heartbeat, or its absence, tells the rest.
            self._fail("flow control could not be answered")
