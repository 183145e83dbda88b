"""`Leader`: what the stream is and holds, by the word of its leader.

Direct gets are answered by any replica, also by one that lags behind: what it does not hold may
stand in the log all the same. `STREAM.INFO` and `STREAM.MSG.GET` are answered by the leader alone.
"""

from typing import Any

import msgspec

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import LOG_SUBJECT_PREFIX, STREAM
from asgi_isr.logs.nats.messages import log_message
from asgi_isr.nats.api import Api
from asgi_isr.nats.link import Link
from asgi_isr.nats.requests import NO_MESSAGE_FOUND, STREAM_NOT_FOUND, RefusedError
from asgi_isr.nats.stored import StoredMessage, StoredReply
from asgi_isr.ports import Bounds, LogMessage

__all__ = ["Leader", "State", "StreamMissingError"]


class StreamMissingError(LogUnavailableError):
    """There is no stream of invalidations yet."""


class _Held(msgspec.Struct, frozen=True):
    messages: int
    first_seq: int
    last_seq: int


class State(msgspec.Struct, frozen=True):
    """The stream: since when it exists, how it is configured, what it holds."""

    created: str
    config: dict[str, Any]
    state: _Held

    @property
    def bounds(self) -> Bounds:
        """The first and last sequence."""
        held = self.state
        return Bounds(held.first_seq if held.messages else held.last_seq + 1, held.last_seq)

    def unreadable_reason(self) -> str | None:
        """Say why nobody can read it as readers do, or return None."""
        republish = self.config.get("republish") or {}
        to = f"{LOG_SUBJECT_PREFIX}.>"
        if republish.get("dest") != to or republish.get("headers_only"):
            missing = f"is not republished to {to}"
        elif not self.config.get("allow_direct"):
            missing = "does not allow direct gets"
        else:
            return None
        return f"the stream {STREAM} {missing}; the writers' side sets it when it starts"


class Leader:
    """Asks over `link` at `api`; every failure is a `LogUnavailableError`."""

    def __init__(self, link: Link, api: Api) -> None:
        self._link = link
        self._info = api.stream("INFO", STREAM)
        self._get = api.stream("MSG.GET", STREAM)

    async def state(self) -> State:
        """Return the stream as it is now. Raises `StreamMissingError` where there is none."""
        try:
            return await self._link.request(self._info, b"", State)
        except RefusedError as error:
            if error.code == STREAM_NOT_FOUND:
                raise StreamMissingError(
                    f"the stream {STREAM} does not exist; the writers' side creates it"
                ) from error
            raise

    async def stamp(self, seq: int) -> str | None:
        """Return when the message at `seq` was stored, or None if there is none."""
        found = await self._message(b'{"seq":%d}' % seq)
        # Another's answer may come to our inbox: answers go where the question says.
        return found.time if found and found.seq == seq else None

    async def at_or_after(self, seq: int) -> LogMessage | None:
        """Return the first message from `seq` on, or None if there is none."""
        found = await self._message(b'{"seq":%d,"next_by_subj":">"}' % seq)
        if found is None or found.seq < seq:
            return None
        return log_message(found.seq, found.time, found.data, found.subject, found.headers)

    async def _message(self, question: bytes) -> StoredMessage | None:
        try:
            return (await self._link.request(self._get, question, StoredReply)).message
        except RefusedError as error:
            if error.code == NO_MESSAGE_FOUND:
                return None
            raise
