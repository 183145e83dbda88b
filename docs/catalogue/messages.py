"""Which messages there are: their struct, where they travel, from whom to whom."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from asgi_isr import events, reports
from perfcheck_contracts import (
    DEAD_LETTER_SUBJECT_PREFIX,
    DEAD_LETTERS_STREAM,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
    InvalidationAccepted,
    InvalidationWrite,
    Receipt,
    ReceiptBatch,
    WarmResult,
    WarmWrite,
)

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "libs" / "contracts" / "tests" / "unit" / "samples"
CACHE_SAMPLES = ROOT / "libs" / "asgi-isr" / "tests" / "unit" / "samples"


class Message(NamedTuple):
    """One message: `type_name` is its name in schemas, with the version of its form."""

    struct: type[msgspec.Struct]
    type_name: str
    where: str
    who: str
    samples: Path = SAMPLES

    @property
    def name(self) -> str:
        """Return the name of the struct."""
        return self.struct.__name__

    def sample(self) -> bytes:
        """Return the stored sample, as it was once sent."""
        return (self.samples / f"{self.name}.json").read_bytes()

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of what is written and read today."""
        found = msgspec.json.schema(self.struct)
        head = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:perfcheck:{self.type_name}",
        }
        return {**head, **found}


MESSAGES = (
    Message(
        events.Invalidation,
        events.EVENT_TYPE,
        f"stream `{events.STREAM}`, subject `{events.SUBJECT_PREFIX}.<source>`",
        "any publisher → every instance of the page cache, the revalidator",
        CACHE_SAMPLES,
    ),
    Message(
        reports.Report,
        "cache.instance-report.v1",
        f"subject `{reports.POSITIONS_SUBJECT_PREFIX}.<instance>`, and to register stream"
        f" `{reports.INSTANCES_STREAM}`, subject `{reports.INSTANCES_SUBJECT_PREFIX}.<instance>`",
        "every instance of the page cache → the api, the revalidator",
        CACHE_SAMPLES,
    ),
    Message(
        reports.PopularPages,
        "cache.popular-pages.v1",
        f"subject `{reports.POPULAR_SUBJECT_PREFIX}.<instance>`",
        "every instance of the page cache → the revalidator",
        CACHE_SAMPLES,
    ),
    Message(
        ReceiptBatch,
        "cache.receipts.v1",
        f"stream `{RECEIPTS_STREAM}`, subject `{RECEIPTS_SUBJECT}`",
        "the revalidator → the api",
    ),
    Message(
        InvalidationWrite,
        "invalidation-write.v1",
        "`POST /api/v1/invalidations`, `POST /api/v1/webhooks/invalidations`",
        "any publisher → the api",
    ),
    Message(
        InvalidationAccepted,
        "invalidation-accepted.v1",
        "the answer to it, status 202",
        "the api → the publisher",
    ),
    Message(
        Receipt,
        "receipt.v1",
        "`GET /api/v1/invalidations/{id}`, and as a list",
        "the api → whoever wants to know",
    ),
    Message(
        WarmWrite,
        "warm-write.v1",
        "`POST /api/cache/warm`",
        "the revalidator → a frontend-bff",
    ),
    Message(WarmResult, "warm-result.v1", "the answer to it", "a frontend-bff → the revalidator"),
)
DEAD_LETTERS = f"stream `{DEAD_LETTERS_STREAM}`, subject `{DEAD_LETTER_SUBJECT_PREFIX}.<source>`"
