"""A message of a stream, as the stream's leader gives it: the answer to `STREAM.MSG.GET`."""

from datetime import datetime

import msgspec

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.headers import Headers

__all__ = ["StoredMessage", "StoredReply"]


class StoredMessage(msgspec.Struct, frozen=True):
    """`time` is in RFC 3339, to the nanosecond; `hdrs` is the block of header fields."""

    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""

    @property
    def headers(self) -> Headers:
        """Its header fields."""
        return Headers(self.hdrs)

    @property
    def stored_at(self) -> datetime:
        """When the stream took it, to the microsecond; an unreadable time is the broker's fault."""
        try:
            return msgspec.convert(self.time, datetime)
        except msgspec.ValidationError as error:
            raise LogUnavailableError(f"NATS gave {self.time!r} as a time") from error


class StoredReply(msgspec.Struct, frozen=True):
    """What `STREAM.MSG.GET` answers."""

    message: StoredMessage
