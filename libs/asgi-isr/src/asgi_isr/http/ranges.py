"""Range requests (RFC 9110, section 14) answered from a whole stored response."""

import re
from typing import Literal, NamedTuple

_RANGE = re.compile(rb"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.IGNORECASE)


class Part(NamedTuple):
    """Bytes `first` to `last`, both included, of a body."""

    first: int
    last: int


def part(value: bytes, size: int) -> Part | Literal[False] | None:
    """Return what a `Range` field asks of a body of `size` bytes.

    None: nothing that is served in parts here (another unit, several ranges, a broken field), so
    that the whole is the answer (section 14.2). False: no byte of the body is asked for (416).
    """
    found = _RANGE.fullmatch(value)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        if not int(suffix):
            return False
        # The last bytes of nothing are nothing, which no `Content-Range` can say.
        return Part(max(0, size - int(suffix)), size - 1) if size else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return Part(start, end) if start < size else False


def content_range(asked: Part | None, size: int) -> tuple[bytes, bytes]:
    """Return the `Content-Range` of a 206, or with None that of a 416."""
    span = b"%d-%d" % asked if asked is not None else b"*"
    return (b"content-range", b"bytes %s/%d" % (span, size))
