"""What JetStream holds for the services: one definition for who keeps it and who uses it.

Field names are those of `asgi_isr.nats.StreamSpec` and `ConsumerSpec`; both streams are kept in
files, and the oldest messages give way: better to lose the story of an event than to stop its work.
"""

from typing import Literal, NamedTuple

__all__ = [
    "DEAD_LETTERS",
    "DEAD_LETTERS_STREAM",
    "DEAD_LETTER_SUBJECT_PREFIX",
    "EVENT_CONSUMERS",
    "EVENT_CONSUMER_AGAIN",
    "EVENT_CONSUMER_FIRST",
    "LOG_API",
    "RECEIPTS",
    "RECEIPTS_STREAM",
    "RECEIPTS_SUBJECT",
    "ConsumerFacts",
    "StreamFacts",
]

# By this name other accounts ask JetStream for what the api's account lets them have of the log.
LOG_API = "log.api"

RECEIPTS_STREAM = "CACHE_RECEIPTS"
RECEIPTS_SUBJECT = "cache.receipts.v1"
DEAD_LETTERS_STREAM = "CACHE_DEAD_LETTERS"
DEAD_LETTER_SUBJECT_PREFIX = "cache.dead-letters.v1"  # and the source of the original

_DAY_S = 86_400.0
_MIB = 1024 * 1024


class StreamFacts(NamedTuple):
    """What a stream must be like; ages and windows in seconds."""

    name: str
    description: str
    subjects: tuple[str, ...]
    retention: Literal["limits", "workqueue"]
    age_s_max: float
    bytes_max: int
    duplicate_window_s: float = 120.0


class ConsumerFacts(NamedTuple):
    """What a durable consumer of the log must be like; all replicas of a service share it."""

    durable: str
    ack_wait_s: float = 30.0
    ack_pending_max: int = 20_000


# The work on events, and the CDN's second purges. The api keeps them, the revalidator uses them:
# who makes a consumer says where it delivers.
EVENT_CONSUMER_FIRST = ConsumerFacts("revalidator")
EVENT_CONSUMER_AGAIN = ConsumerFacts("revalidator-again")
EVENT_CONSUMERS = (EVENT_CONSUMER_FIRST, EVENT_CONSUMER_AGAIN)

# Work queue from the revalidators to the api, who keeps it.
RECEIPTS = StreamFacts(
    name=RECEIPTS_STREAM,
    description="Receipts of invalidations on their way to the api",
    subjects=(RECEIPTS_SUBJECT,),
    retention="workqueue",
    age_s_max=7 * _DAY_S,
    bytes_max=256 * _MIB,
)

# What could not be done, as it came, with the reason in headers; see `dead_letters`. The
# revalidator keeps it.
DEAD_LETTERS = StreamFacts(
    name=DEAD_LETTERS_STREAM,
    description="Invalidations whose work could not be done",
    subjects=(f"{DEAD_LETTER_SUBJECT_PREFIX}.>",),
    retention="limits",
    age_s_max=30 * _DAY_S,
    bytes_max=128 * _MIB,
    duplicate_window_s=600.0,
)
