"""One reading of the stream: what it republishes, and whatever of that was lost on its way.

No consumer is created, so that a reader needs no right to create any: a consumer may deliver onto
every subject of its account. Messages come in the order of the log, each once; a gap is closed by
direct gets, wherever it comes from: messages from before the subscription, a link that lost some, a
reader that was too slow for what came. What cannot be closed is the leader's to say.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import LOG_SUBJECT_PREFIX, STREAM
from asgi_isr.logs.nats.direct_gets import DirectGets
from asgi_isr.logs.nats.leader import Leader, State
from asgi_isr.logs.nats.messages import republished
from asgi_isr.ports import LogMessage

READ_MESSAGES_MAX = 256
READ_BYTES_MAX = 64 * 1024  # of bodies; one message may be larger
PENDING_MESSAGES_MAX = 100_000
PENDING_BYTES_MAX = 64 * 1024 * 1024
SILENCE_S = 1.0  # without a message, after which the leader is asked for its last
UNHEARD_MAX = 3  # times that it had one, and none was sent here in between
SERVER_VERSION_MIN = (2, 11)  # whose direct gets answer with many messages
_READER_CLOSE_S_MAX = 1.0


class Reader:
    """Reads the stream above `after` on `client`: `open`, then `batch` again and again, `close`.

    What came in and was not asked for is bounded; what comes beyond `pending_messages_max` is
    dropped, and fetched when it is its turn.
    """

    def __init__(
        self,
        client: Client,
        leader: Leader,
        gets: DirectGets,
        after: int,
        *,
        timeout_s: float,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
    ) -> None:
        self._client = client
        self._leader = leader
        self._gets = gets
        self._position = after
        self._stamp: str | None = None  # of the message at the position, if it was read here
        self._timeout_s = timeout_s
        self._pending_messages_max = pending_messages_max
        self._pending: deque[LogMessage] = deque()
        self._pending_bytes = 0
        self._known = after  # the highest sequence that was heard of
        self._created = ""
        self._doubted = False  # a message came whose sequence was read before
        self._verified_at = 0.0
        self._unheard = 0
        self._arrived = asyncio.Event()
        self._failure = ""
        self._reconnects = client.stats["reconnects"]
        self._subscription: Subscription | None = None

    def wake(self) -> None:
        """Have `batch` look at the connection now."""
        self._arrived.set()

    def end(self, reason: str) -> None:
        """Have `batch` raise, once what came has been returned."""
        self._failure = self._failure or reason
        self._arrived.set()

    async def open(self) -> None:
        """Subscribe, and learn what the log holds by now. Raises `LogUnavailableError`."""
        self._check()
        version = self._client.connected_server_version
        if (version.major, version.minor) < SERVER_VERSION_MIN:
            raise LogUnavailableError(f"NATS 2.11 or newer is needed, and this is {version}")
        try:
            async with asyncio.timeout(self._timeout_s):
                self._subscription = await self._client.subscribe(
                    f"{LOG_SUBJECT_PREFIX}.>",
                    cb=self._receive,
                    pending_msgs_limit=self._pending_messages_max,
                    pending_bytes_limit=PENDING_BYTES_MAX,
                )
                await self._gets.open()
        except TimeoutError as error:
            raise LogUnavailableError("NATS did not take the subscription in time") from error
        except (NatsError, OSError) as error:
            raise LogUnavailableError(f"cannot subscribe: {error}") from error
        # Asked after subscribing on the same connection: what comes later is sent here.
        state = await self._leader.state()
        if reason := state.unreadable_reason():
            raise LogUnavailableError(reason)
        self._created = state.created
        self._compare(state)

    async def batch(self) -> Sequence[LogMessage]:
        """Wait for messages; return the next ones, in order, within the bounds of a batch.

        Raises `LogUnavailableError` when the connection broke, when the log is another one than it
        was, and when it cannot be asked.
        """
        while True:
            batch = self._next()
            if batch:
                return batch
            self._check()
            if self._doubted:
                await self._verify()
            if self._known > self._position:
                await self._fetch()
            else:
                await self._wait()

    async def close(self) -> None:
        """Unsubscribe, within a second."""
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(_READER_CLOSE_S_MAX):
                if self._subscription is not None:
                    await self._subscription.unsubscribe()
                await self._gets.close()

    async def _receive(self, message: Msg) -> None:
        """Take a message in; nats-py calls it for each, in order. It never waits."""
        found = republished(message.headers, message.data)
        if found is None:
            return  # only an answer of the server's, which somebody had sent here, has no sequence
        self._arrived.set()
        self._unheard = 0
        self._known = max(self._known, found.seq)
        size = self._pending_bytes + len(found.body)
        if len(self._pending) < self._pending_messages_max and size <= PENDING_BYTES_MAX:
            self._pending.append(found)
            self._pending_bytes = size

    def _next(self) -> list[LogMessage]:
        """Take what came and follows the position."""
        batch: list[LogMessage] = []
        bytes_left = READ_BYTES_MAX
        while self._pending and len(batch) < READ_MESSAGES_MAX and bytes_left > 0:
            message = self._pending[0]
            if message.seq > self._position + 1:
                break
            self._pending.popleft()
            self._pending_bytes -= len(message.body)
            if message.seq <= self._position:
                self._doubted = True
                continue
            batch.append(message)
            bytes_left -= len(message.body)
            self._position, self._stamp = message.seq, message.stamp
        return batch

    async def _fetch(self) -> None:
        """Get what is missing before the first message that waits, or up to the last known one."""
        first = self._position + 1
        last = self._pending[0].seq - 1 if self._pending else self._known
        last = min(last, self._position + READ_MESSAGES_MAX)
        found = await self._gets.get(first, last, READ_BYTES_MAX)
        if not found:
            found = await self._ask_for(first)
        self._pending.extendleft(reversed(found))
        self._pending_bytes += sum(len(message.body) for message in found)

    async def _ask_for(self, first: int) -> list[LogMessage]:
        """Have the leader say what comes from `first` on: no replica had it, or none any longer."""
        message = await self._leader.at_or_after(first)
        state = await self._leader.state()
        self._compare(state)
        begins = state.bounds.first if message is None else message.seq
        if begins > first:
            self._position, self._stamp = begins - 1, None  # the log has nothing in between
        elif message is None:
            raise LogUnavailableError(
                f"the log ends at {state.bounds.last}, though message {self._known} was heard of"
            )
        return [] if message is None else [message]

    async def _wait(self) -> None:
        """Wait for a message; after a silence ask whether there is one that did not come."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._arrived.wait()
            self._arrived.clear()
        except TimeoutError:
            self._compare(await self._leader.state())
            self._unheard += self._known > self._position
        if self._unheard >= UNHEARD_MAX:
            raise LogUnavailableError(
                f"the log grows, but no message comes on {LOG_SUBJECT_PREFIX}.>:"
                " does the account import it, and may the user subscribe to it?"
            )

    async def _verify(self) -> None:
        """Have the leader say that the log holds what was read; at most once a second.

        A message whose sequence was read before comes twice where it was fetched before it came;
        or somebody has an old one sent here; or the log lost its end and grows again.
        """
        now = asyncio.get_running_loop().time()
        if now - self._verified_at < SILENCE_S:
            return
        self._doubted, self._verified_at = False, now
        self._compare(await self._leader.state())
        if self._stamp is not None and await self._leader.stamp(self._position) != self._stamp:
            raise LogUnavailableError(
                f"another message stands at {self._position} than was read: the log was set back"
            )

    def _compare(self, state: State) -> None:
        """Raise `LogUnavailableError` if `state` is that of another log than was read."""
        if state.created != self._created:
            raise LogUnavailableError(f"the stream {STREAM} was recreated")
        last = state.bounds.last
        if last < self._position:
            raise LogUnavailableError(f"the log ends at {last}, before position {self._position}")
        self._known = max(self._known, last)

    def _check(self) -> None:
        if self._failure:
            raise LogUnavailableError(self._failure)
        if not self._client.is_connected or self._client.stats["reconnects"] != self._reconnects:
            raise LogUnavailableError("the connection to NATS broke")
