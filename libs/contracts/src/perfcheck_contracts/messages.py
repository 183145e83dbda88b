"""What the services say to each other over NATS: bodies (JSON). Their streams are in `streams`.

Those of the invalidation log and of the cache's instances are in `asgi_isr.events` and
`asgi_isr.reports`; they can be used without us.
"""

import msgspec

from perfcheck_contracts.invalidations import Receipt

__all__ = ["RECEIPTS_BYTES_MAX", "RECEIPTS_MAX", "ReceiptBatch"]

RECEIPTS_MAX = 256  # of one batch
RECEIPTS_BYTES_MAX = 512 * 1024  # of one batch


class ReceiptBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts on their way to the api, whole or in part: parts of one id are put together."""

    version: int = 1
    receipts: list[Receipt]
