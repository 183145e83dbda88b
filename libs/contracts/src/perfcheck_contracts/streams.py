"""Streams of JetStream that more than one service sets up: one definition for all of them.

A stream is created by whoever comes first, and checked by everyone. Field names are those of
`asgi_isr.nats.StreamSpec`; both streams are kept in files, and the oldest messages give way: better
to lose the story of an event than to stop its work.
"""

from typing import Literal, NamedTuple

__all__ = [
    "DEAD_LETTERS",
    "DEAD_LETTERS_STREAM",
    "DEAD_LETTER_SUBJECT_PREFIX",
    "RECEIPTS",
    "RECEIPTS_STREAM",
    "RECEIPTS_SUBJECT",
    "StreamFacts",
]

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


# Work queue from the revalidators to the api.
RECEIPTS = StreamFacts(
    name=RECEIPTS_STREAM,
    description="Receipts of invalidations on their way to the api",
    subjects=(RECEIPTS_SUBJECT,),
    retention="workqueue",
    age_s_max=7 * _DAY_S,
    bytes_max=256 * _MIB,
)

# What could not be done, as it came, with the reason in headers; see `dead_letters`.
DEAD_LETTERS = StreamFacts(
    name=DEAD_LETTERS_STREAM,
    description="Invalidations whose work could not be done",
    subjects=(f"{DEAD_LETTER_SUBJECT_PREFIX}.>",),
    retention="limits",
    age_s_max=30 * _DAY_S,
    bytes_max=128 * _MIB,
    duplicate_window_s=600.0,
)
