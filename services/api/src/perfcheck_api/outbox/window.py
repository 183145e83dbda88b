"""Messages for the log, and a window of them that is sent ahead of its acknowledgements."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import STREAM
from asgi_isr.nats import PubAck, decode_reply
from nats.aio.client import Client
from nats.aio.msg import Msg

from perfcheck_api.errors import BrokerError

BROKER_REQUEST_S_MAX = 2.0
MESSAGE_ID_HEADER = "Nats-Msg-Id"


class Message(NamedTuple):
    """A message for the log; its headers have a `Nats-Msg-Id`."""

    subject: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """Return the size that the broker compares with its limits: headers and body."""
        lines = sum(
            len(name.encode()) + len(text.encode()) + 4 for name, text in self.headers.items()
        )
        return len("NATS/1.0\r\n\r\n") + lines + len(self.body)


class Sent(NamedTuple):
    """What became of messages: those of the first ones, and why the next one has none."""

    acks: list[PubAck]
    error: BrokerError | None


class Window:
    """Messages sent ahead of their answers, each with a reply subject of our one inbox.

    nats-py's `publish_async` does the same for 25 to 30 µs of CPU a message; this takes 15, and a
    request for each, one after the other, 80 (measured on two cores with uvloop).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox: str = client.new_inbox()
        self._sent = 0  # messages of this connection: late answers of an old window match none
        self._answers: dict[int, bytes | None] = {}
        self._unanswered = 0
        self._all_answered = asyncio.Event()

    async def open(self) -> None:
        """Subscribe to the answers."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def send(self, messages: Sequence[Message]) -> Sent:
        """Publish all without waiting in between, then wait until each has an answer."""
        first, self._sent = self._sent, self._sent + len(messages)
        self._answers = dict.fromkeys(range(first, self._sent))
        self._unanswered = len(messages)
        self._all_answered.clear()
        for number, message in enumerate(messages, start=first):
            await self._client.publish(
                message.subject,
                message.body,
                reply=f"{self._inbox}.{number}",
                headers=dict(message.headers),
            )
        with contextlib.suppress(TimeoutError):  # then some have no answer
            async with asyncio.timeout(BROKER_REQUEST_S_MAX):
                await self._all_answered.wait()
        acks: list[PubAck] = []
        for message, answer in zip(messages, self._answers.values(), strict=True):
            try:
                acks.append(_pub_ack(message.subject, answer))
            except BrokerError as error:
                return Sent(acks, error)
        return Sent(acks, None)

    async def _take(self, message: Msg) -> None:
        number = int(message.subject.rpartition(".")[2])
        if self._answers.get(number, b"") is None:
            self._answers[number] = message.data
            self._unanswered -= 1
            if not self._unanswered:
                self._all_answered.set()


def _pub_ack(subject: str, answer: bytes | None) -> PubAck:
    """Read an answer. Raises `BrokerError` for a refusal, and where there is none."""
    if answer is None:
        raise BrokerError(f"cannot publish: no answer within {BROKER_REQUEST_S_MAX:g} s")
    if not answer:  # the server's own answer: status 503
        raise BrokerError(f"cannot publish: the stream {STREAM} does not exist")
    try:
        return decode_reply(answer, PubAck, subject=subject)
    except LogUnavailableError as error:
        raise BrokerError(f"cannot publish: {error}") from error
