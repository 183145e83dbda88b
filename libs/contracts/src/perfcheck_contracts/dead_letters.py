"""Dead letters: events whose work could not be done, kept with the original and the reason.

HTTP under `/api/v1/dead-letters` of the revalidator. On the stream a dead letter is the original
body with the original headers, and the headers below.
"""

from datetime import datetime

import msgspec

__all__ = [
    "DEAD_LETTER_REASON_HEADER",
    "DEAD_LETTER_SEQ_HEADER",
    "DEAD_LETTER_SUBJECT_HEADER",
    "DeadLetter",
    "DeadLetterList",
    "RetryReport",
]

DEAD_LETTER_REASON_HEADER = "Dead-Letter-Reason"
DEAD_LETTER_SEQ_HEADER = "Dead-Letter-Seq"  # of the original in the log
DEAD_LETTER_SUBJECT_HEADER = "Dead-Letter-Subject"  # of the original


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter; `number` is its sequence among them, `seq` and `subject` the original's.

    `body` is the original as text, what is no UTF-8 replaced, and at most its first 4 KiB.
    """

    number: int
    id: str
    seq: int
    subject: str
    reason: str
    at: datetime
    body: str


class DeadLetterList(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /dead-letters`: oldest first; `next` is the cursor of the following page, or null."""

    dead_letters: list[DeadLetter]
    next: int | None


class RetryReport(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /dead-letters/{number}/retry`: done and removed, or still dead for `reason`."""

    number: int
    done: bool
    reason: str = ""
