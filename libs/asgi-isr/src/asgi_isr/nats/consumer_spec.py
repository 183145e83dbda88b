"""`ConsumerSpec`: a durable consumer as its users need it, its creation and check."""

import logging
from typing import Any

import msgspec

from asgi_isr.nats.ack_subject import NS
from asgi_isr.nats.api import Api
from asgi_isr.nats.configuration import Demand, LogConfigurationError, equal, flaws
from asgi_isr.nats.link import Link
from asgi_isr.nats.requests import RefusedError

__all__ = ["ConsumerSpec", "ensure_consumer"]

CONSUMER_NOT_FOUND = 10014
_WAITING_MAX = 512  # the server's default of `max_waiting`
_FREE = frozenset({"name", "description", "metadata", "num_replicas"})

_logger = logging.getLogger(__name__)


class ConsumerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A durable consumer of `stream` with explicit acknowledgements.

    What is not acknowledged within `ack_wait_s` is handed out again, without a bound on how often:
    at the server's `max_deliver` a message would be dropped. At most `ack_pending_max` messages are
    handed out and not acknowledged, over all who fetch. `subject` filters; "" is every message.
    """

    stream: str
    durable: str
    subject: str = ""
    ack_wait_s: float = 30.0
    ack_pending_max: int = 1000

    def config(self) -> dict[str, Any]:
        """Return it as JetStream's API takes it."""
        return {
            "durable_name": self.durable,
            **({"filter_subject": self.subject} if self.subject else {}),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_s * NS),
            "max_ack_pending": self.ack_pending_max,
            "max_deliver": -1,
        }

    def demands(self) -> list[Demand]:
        """Return what one that exists must be."""
        return [
            *(equal(field, value) for field, value in self.config().items()),
            equal("replay_policy", "instant"),
            Demand("max_waiting", f">= {_WAITING_MAX}", lambda n: (n or 0) >= _WAITING_MAX),
        ]


class _Consumer(msgspec.Struct, frozen=True):
    config: dict[str, Any]


async def ensure_consumer(link: Link, spec: ConsumerSpec, api: Api | None = None) -> None:
    """Create the consumer unless it exists, else repair it. Several processes may call it at once.

    What is otherwise than `spec` says is set right, and told in the log; where the server does not
    let it, that is a `LogConfigurationError`. `LogUnavailableError` is for everything else.
    """
    api = api or Api()
    before = await _existing(link, spec, api)
    wrong = {} if before is None else flaws(before, spec.demands(), free=_FREE)
    if before is not None and not wrong:
        return
    if "pause_until" in wrong:
        # An update leaves the pause as it is.
        subject = api.consumer("PAUSE", spec.stream, spec.durable)
        await link.request(subject, b"{}", msgspec.Raw)
    refusal = ""
    try:
        body = msgspec.json.encode({"stream_name": spec.stream, "config": spec.config()})
        subject = api.consumer("DURABLE.CREATE", spec.stream, spec.durable)
        after = (await link.request(subject, body, _Consumer)).config
    except RefusedError as error:
        if not wrong:
            raise
        refusal = str(error)
    else:
        left = flaws(after, spec.demands(), free=_FREE).keys() & wrong.keys()
        refusal = f"the server left {', '.join(sorted(left))}" if left else ""
    words = "; ".join(wrong.values())
    if refusal:
        raise LogConfigurationError(
            f"the consumer {spec.durable} of {spec.stream} exists but cannot be used: {words}. It"
            f" was not repaired: {refusal}. Delete it; its messages come again from the first"
        )
    if wrong:
        _logger.warning("the consumer %s of %s was repaired: %s", spec.durable, spec.stream, words)


async def _existing(link: Link, spec: ConsumerSpec, api: Api) -> dict[str, Any] | None:
    try:
        subject = api.consumer("INFO", spec.stream, spec.durable)
        return (await link.request(subject, b"", _Consumer)).config
    except RefusedError as error:
        if error.code == CONSUMER_NOT_FOUND:
            return None
        raise
