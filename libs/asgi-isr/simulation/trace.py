"""What happened, in order: kept as tuples, made readable only when somebody wants to read it."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

LINES_MAX = 60


class Moment(NamedTuple):
    """One thing that happened; `page` is empty when it concerns all of them."""

    at: float  # virtual seconds
    who: str
    page: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:10.4f}  {self.who:<8} {self.page:<6} {self.what}"


class Trace(list[Moment]):
    """The moments of one schedule."""

    def digest(self) -> str:
        """Return what is equal for equal traces alone."""
        return hashlib.blake2b("\n".join(map(str, self)).encode(), digest_size=16).hexdigest()

    def about(self, page: str) -> Iterator[str]:
        """Yield the last lines that concern `page` or all pages (all, when `page` is empty)."""
        lines = [moment for moment in self if not page or moment.page in {"", page}]
        if len(lines) > LINES_MAX:
            yield f"            … {len(lines) - LINES_MAX} earlier moments"
        yield from map(str, lines[-LINES_MAX:])
