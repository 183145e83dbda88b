"""The invalidation log on NATS JetStream 2.11 or newer.

`ensure_stream` creates the stream as rule 7 of the protocol says, `NatsLog` is the `Log` port on
it. Connections, requests, consumers and streams for others are `asgi_isr.nats`.
"""

from asgi_isr.logs.nats.instances import Instances
from asgi_isr.logs.nats.log import NatsLog
from asgi_isr.logs.nats.streams import ensure_instances_stream, ensure_stream, repair_streams
from asgi_isr.nats.cancellation import keeping_cancellation
from asgi_isr.nats.configuration import LogConfigurationError
from asgi_isr.nats.connection import close, connect, inbox_prefix, without_credentials

__all__ = [
    "Instances",
    "LogConfigurationError",
    "NatsLog",
    "close",
    "connect",
    "ensure_instances_stream",
    "ensure_stream",
    "inbox_prefix",
    "keeping_cancellation",
    "repair_streams",
    "without_credentials",
]
