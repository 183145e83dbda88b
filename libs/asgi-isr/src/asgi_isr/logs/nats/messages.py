"""A message of the log, as the server's own header fields and answers tell of it; pure.

A publisher writes body and headers as it likes. What the server adds to them comes last, and
`Headers` gives the last. So a message is what has a `Nats-Sequence`, its source stands in the
`Nats-Subject`, and a number in `Cache-Sequence` counts for that source alone.
"""

from collections.abc import Mapping

from asgi_isr.events import SEQUENCE_HEADER
from asgi_isr.ports import LogMessage

__all__ = ["log_message", "republished"]

_SOURCE_TOKEN = 3  # cache.invalidations.v1.<source>, cache.marks.v1.<source>
_COUNT_DIGITS_MAX = 18  # of numbers


def republished(headers: Mapping[str, str] | None, body: bytes) -> LogMessage | None:
    """Return a message that the stream republished, or gave directly; None for a status."""
    if headers is None:
        return None
    seq, stamp = headers.get("Nats-Sequence"), headers.get("Nats-Time-Stamp")
    if seq is None or stamp is None or not seq.isdecimal() or len(seq) > _COUNT_DIGITS_MAX:
        return None
    subject = headers.get("Nats-Subject") or ""
    return log_message(int(seq), stamp, body, subject, headers.get(SEQUENCE_HEADER))


def log_message(seq: int, stamp: str, body: bytes, subject: str, counted: str | None) -> LogMessage:
    """Return a message; `counted` is its source's own number, where the source counts."""
    source = subject.split(".", _SOURCE_TOKEN)[_SOURCE_TOKEN:]
    if not source or not counted or not counted.isdecimal() or len(counted) > _COUNT_DIGITS_MAX:
        return LogMessage(seq, stamp, body)
    return LogMessage(seq, stamp, body, source[0], int(counted))
