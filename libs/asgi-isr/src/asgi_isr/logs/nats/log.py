"""`NatsLog`: the `Log` port on a JetStream stream."""

from collections.abc import AsyncGenerator, Sequence

from nats.aio.client import Client

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import SOURCE, Invalidation
from asgi_isr.logs.nats.direct_gets import DirectGets
from asgi_isr.logs.nats.leader import Leader, StreamMissingError
from asgi_isr.logs.nats.publisher import NewId, Publisher, new_id
from asgi_isr.logs.nats.reader import PENDING_MESSAGES_MAX, Reader
from asgi_isr.logs.nats.streams import altered, ensure_stream
from asgi_isr.nats.api import API_PREFIX, Api
from asgi_isr.nats.configuration import LogConfigurationError
from asgi_isr.nats.link import NATS_REQUEST_S_MAX, Link
from asgi_isr.ports import Bounds, Clock, LogMessage, Mark, SystemClock
from asgi_isr.reports import PopularPages, Report


class NatsLog:
    """The invalidation log on the stream that `ensure_stream` creates.

    `connection` is a client of the caller's, who closes it, or a URL: then the first call connects.
    Every call but `read` ends within `timeout_s`, or three times that where it has to wait for a
    connection; failures are `LogUnavailableError`. With `publish_marks` it creates or repairs the
    stream and publishes marks itself, for an app without a relay; else the relay does both.
    `source` names this process in subjects and events. `tls_ca_file` is as in `connect`,
    `api_prefix` where the JetStream API of the stream's account is found: where another account
    imports it, that is not `$JS.API`. Who only reads creates nothing on the server: it subscribes
    to `cache.log.v1.>`, and asks for the stream's state and messages.

    After `close` it can be used again, in another event loop too; with a client of the caller's
    only as long as that client can.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        source: str = SOURCE,
        publish_marks: bool = False,
        timeout_s: float = NATS_REQUEST_S_MAX,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
        clock: Clock | None = None,
        new_id: NewId = new_id,
        tls_ca_file: str = "",
        api_prefix: str = API_PREFIX,
    ) -> None:
        self._link = Link(
            connection,
            name=source,
            timeout_s=timeout_s,
            on_change=self._wake,
            tls_ca_file=tls_ca_file,
        )
        self._publisher = Publisher(
            self._link,
            source=source,
            own_marks=publish_marks,
            clock=clock or SystemClock(),
            new_id=new_id,
        )
        self._api = Api(api_prefix)
        self._leader = Leader(self._link, self._api)
        self._creates_stream = publish_marks
        self._timeout_s = timeout_s
        self._pending_messages_max = pending_messages_max
        self._readers: set[Reader] = set()

    async def bounds(self) -> Bounds:
        """Return the first and last sequence of the log."""
        try:
            return (await self._leader.state()).bounds
        except StreamMissingError:
            if not self._creates_stream:
                raise
            await self._set_up()
            return (await self._leader.state()).bounds

    async def stamp(self, seq: int) -> str | None:
        """Return the time at which the event at `seq` was stored, or None."""
        return await self._leader.stamp(seq)

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches of messages above `after`, in order, without end.

        Where the log no longer holds `after + 1` it goes on with its first message; the reader sees
        the gap in the sequences. Raises `LogUnavailableError` when the log ends before `after`, was
        recreated or set back, after a broken connection and when nobody answers: read again from
        the last message.
        """
        client = await self._link.client()
        reader = Reader(
            client,
            self._leader,
            DirectGets(client, self._api, timeout_s=self._timeout_s),
            after,
            timeout_s=self._timeout_s,
            pending_messages_max=self._pending_messages_max,
        )
        self._readers.add(reader)
        try:
            if self._creates_stream and altered((await self._leader.state()).config):
                await self._set_up()
            await reader.open()
            while True:
                yield await reader.batch()
        finally:
            self._readers.discard(reader)
            await reader.close()

    async def mark(self) -> Mark:
        """Have a mark published after this call; return it."""
        return await self._publisher.mark()

    async def announce(self, event: Invalidation) -> int:
        """Publish `event` once; return its sequence. Raises as `publish` does."""
        return await self.publish(event)

    async def register(self, report: Report) -> None:
        """Have the stream of instances keep `report`."""
        await self._publisher.register(report)

    async def report(self, report: Report) -> None:
        """Publish `report` to whoever listens."""
        await self._publisher.report(report)

    async def popular(self, pages: PopularPages) -> None:
        """Publish `pages` to whoever listens."""
        await self._publisher.popular(pages)

    async def publish(
        self,
        event: Invalidation,
        source: str | None = None,
        event_id: str | None = None,
        *,
        again: bool = False,
    ) -> int:
        """Publish `event`; return its sequence.

        `event_id` is new for each event. After a `LogUnavailableError` the event may or may not
        stand in the log: publish it with the same `event_id` and `again`, and it stands there once
        or twice. Raises `InvalidEventError` for an event that must not be published, or whose id
        was used on a first attempt, `TypeError` for what is no `Invalidation`, and `ValueError` for
        a source that cannot be in a subject.
        """
        return await self._publisher.event(event, source, event_id, again=again)

    async def close(self) -> None:
        """End all readings; close the connection if it was opened here."""
        for reader in self._readers:
            reader.end("the log was closed")
        await self._link.close()

    async def _set_up(self) -> None:
        """Create the stream, or repair it."""
        client = await self._link.client()
        try:
            await ensure_stream(client.jetstream(prefix=self._api.prefix))
        except LogConfigurationError as error:
            raise LogUnavailableError(str(error)) from error

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()
