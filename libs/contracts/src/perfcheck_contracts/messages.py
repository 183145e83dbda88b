"""What the services say to each other over NATS: subjects, streams, bodies (JSON).

Those of the invalidation log and of the cache's instances are in `asgi_isr.events` and
`asgi_isr.coherence.live_set`; they can be used without us.
"""

import msgspec

from perfcheck_contracts.invalidations import Receipt

__all__ = [
    "DEAD_LETTERS_STREAM",
    "DEAD_LETTER_SUBJECT_PREFIX",
    "RECEIPTS_MAX",
    "RECEIPTS_STREAM",
    "RECEIPTS_SUBJECT",
    "ReceiptBatch",
]

# Work queue from the revalidators to the api.
RECEIPTS_STREAM = "CACHE_RECEIPTS"
RECEIPTS_SUBJECT = "cache.receipts.v1"
RECEIPTS_MAX = 256  # of one batch

# What could not be done, as it came, with the reason in headers; see `dead_letters`.
DEAD_LETTERS_STREAM = "CACHE_DEAD_LETTERS"
DEAD_LETTER_SUBJECT_PREFIX = "cache.dead-letters.v1"


class ReceiptBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts on their way to the api, whole or in part: parts of one id are put together."""

    version: int = 1
    receipts: list[Receipt]
