"""JetStream, once: connections that come back, bounded requests, pull consumers, streams.

For NATS 2.10 or newer. Whatever fails because of the broker is a `LogUnavailableError`.
"""

from asgi_isr.nats.cancellation import end_if_cancelled, keeping_cancellation
from asgi_isr.nats.connection import close, connect, inbox_prefix, without_credentials
from asgi_isr.nats.consumer import ConsumerSpec, Delivery, PullConsumer
from asgi_isr.nats.link import Link
from asgi_isr.nats.requests import (
    NO_MESSAGE_FOUND,
    STREAM_NOT_FOUND,
    PubAck,
    RefusedError,
    decode_reply,
    request,
)
from asgi_isr.nats.streams import LogConfigurationError, StreamSpec, check_stream, ensure_stream

__all__ = [
    "NO_MESSAGE_FOUND",
    "STREAM_NOT_FOUND",
    "ConsumerSpec",
    "Delivery",
    "Link",
    "LogConfigurationError",
    "PubAck",
    "PullConsumer",
    "RefusedError",
    "StreamSpec",
    "check_stream",
    "close",
    "connect",
    "decode_reply",
    "end_if_cancelled",
    "ensure_stream",
    "inbox_prefix",
    "keeping_cancellation",
    "request",
    "without_credentials",
]
