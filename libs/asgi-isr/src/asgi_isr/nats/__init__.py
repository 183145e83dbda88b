"""JetStream, once: connections that come back, bounded requests, pull consumers, streams.

For NATS 2.11 or newer. Whatever fails because of the broker is a `LogUnavailableError`.
"""

from asgi_isr.nats.api import API_PREFIX, Api
from asgi_isr.nats.cancellation import end_if_cancelled, keeping_cancellation
from asgi_isr.nats.configuration import LogConfigurationError
from asgi_isr.nats.connection import close, connect, inbox_prefix, without_credentials
from asgi_isr.nats.consumer import Delivery, PullConsumer
from asgi_isr.nats.consumer_spec import ConsumerSpec, ensure_consumer
from asgi_isr.nats.headers import Headers
from asgi_isr.nats.link import Link
from asgi_isr.nats.requests import (
    NO_MESSAGE_FOUND,
    STREAM_NOT_FOUND,
    PubAck,
    RefusedError,
    decode_reply,
    request,
)
from asgi_isr.nats.stored import StoredMessage, StoredReply
from asgi_isr.nats.streams import StreamSpec, ensure_stream

__all__ = [
    "API_PREFIX",
    "NO_MESSAGE_FOUND",
    "STREAM_NOT_FOUND",
    "Api",
    "ConsumerSpec",
    "Delivery",
    "Headers",
    "Link",
    "LogConfigurationError",
    "PubAck",
    "PullConsumer",
    "RefusedError",
    "StoredMessage",
    "StoredReply",
    "StreamSpec",
    "close",
    "connect",
    "decode_reply",
    "end_if_cancelled",
    "ensure_consumer",
    "ensure_stream",
    "inbox_prefix",
    "keeping_cancellation",
    "request",
    "without_credentials",
]
