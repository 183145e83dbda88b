"""A message of the log, as the server's own header fields and answers tell of it; pure.

A publisher writes body and headers as it likes. What the server adds to them comes last, and
`Headers` gives the last. So a message is what has a `Nats-Sequence`, its source stands in the
`Nats-Subject`, and what `Cache-Sequence` and `Cache-Origin` say counts for that source alone.
"""

import re
from collections.abc import Mapping

from asgi_isr.events import ORIGIN_HEADER, SEQUENCE_HEADER
from asgi_isr.nats.headers import Headers
from asgi_isr.ports import LogMessage

__all__ = ["log_message", "republished"]

_SOURCE_TOKEN = 3  # cache.invalidations.v1.<source>, cache.marks.v1.<source>
_COUNT_DIGITS_MAX = 18  # of numbers
_ORIGIN_CHARS_MAX = 64
# The three as servers have always written them; looking for each costs three times as much.
_SUBJECT = b"\r\nNats-Subject: "
_IN_ORDER = re.compile(
    rb"\r\nNats-Subject: ([^\r]*)\r\nNats-Sequence: ([0-9]{1,18})\r\nNats-Time-Stamp: ([^\r]*)\r\n"
)


def republished(headers: Mapping[str, str] | None, body: bytes) -> LogMessage | None:
    """Return a message that the stream republished, or gave directly; None for a status."""
    if headers is None:
        return None
    if isinstance(headers, Headers):
        raw = headers.raw
        found = _IN_ORDER.match(raw, raw.rfind(_SUBJECT))
        if found is not None:
            subject, seq, time = (part.decode(errors="replace") for part in found.groups())
            return log_message(int(seq), time, body, subject, headers)
    number, stamp = headers.get("Nats-Sequence"), headers.get("Nats-Time-Stamp")
    if not number or not stamp or not number.isdecimal() or len(number) > _COUNT_DIGITS_MAX:
        return None
    return log_message(int(number), stamp, body, headers.get("Nats-Subject") or "", headers)


def log_message(
    seq: int, stamp: str, body: bytes, subject: str, headers: Mapping[str, str]
) -> LogMessage:
    """Return a message, with its source's own number and origin where the source counts."""
    counted = headers.get(SEQUENCE_HEADER)
    if not counted or not counted.isdecimal() or len(counted) > _COUNT_DIGITS_MAX:
        return LogMessage(seq, stamp, body)
    source = subject.split(".", _SOURCE_TOKEN)[_SOURCE_TOKEN:]
    if not source:
        return LogMessage(seq, stamp, body)
    origin = headers.get(ORIGIN_HEADER) or ""
    return LogMessage(seq, stamp, body, source[0], int(counted), origin[:_ORIGIN_CHARS_MAX])
