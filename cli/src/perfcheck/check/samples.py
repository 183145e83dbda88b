"""Raw k6 output (JSON lines) into samples; nothing is judged here. Pure but for reading lines.

k6 prints a dozen points for each request; the scenario adds one of its own, `page`, with everything
that is judged: its value is the response time in ms, its tags say instance, kind, status, cache
state and whether the content was right. Only its lines, and k6's counts of iterations, are decoded.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec

from perfcheck.exits import TargetError

PAGE_METRIC = "page"
_WANTED = {
    b'{"metric":"page"': "page",
    b'{"metric":"iterations"': "iterations",
    b'{"metric":"dropped_iterations"': "dropped",
}


class PageSample(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a page: when it ended (s since 1970), how long it took, what came back."""

    at_s: float
    duration_ms: float
    instance: str
    kind: str
    status: str
    cache: str
    right: bool


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Everything read out of one k6 run.

    `iterations` counts iterations that k6 ended, `dropped` those it could not start in time. An
    iteration without a page means that the scenario itself threw an exception.
    """

    pages: list[PageSample]
    iterations: int
    dropped: int

    @property
    def without_page(self) -> int:
        """Return how many iterations ended without a sample."""
        return max(0, self.iterations - len(self.pages))


class _Point(msgspec.Struct):
    time: dt.datetime
    value: float
    tags: dict[str, str] = {}


class _Line(msgspec.Struct):
    data: _Point


def parse(lines: Iterable[bytes]) -> Load:
    """Read the lines of `k6 run --out json=…`.

    Raises:
        TargetError: when a line that matters cannot be read (a truncated file, another format).

    """
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Line)
    pages: list[PageSample] = []
    counts = {"iterations": 0.0, "dropped": 0.0}
    for number, line in enumerate(lines, start=1):
        wanted = _WANTED.get(line[: line.find(b",")])
        if wanted is None:
            continue
        try:
            point: _Point = decoder.decode(line).data
            if wanted == "page":
                pages.append(_page(point))
            else:
                counts[wanted] += point.value
        except (msgspec.DecodeError, KeyError) as error:
            raise TargetError(f"k6's output, line {number}, cannot be read: {error!r}") from None
    return Load(pages=pages, iterations=int(counts["iterations"]), dropped=int(counts["dropped"]))


def _page(point: _Point) -> PageSample:
    tags = point.tags
    return PageSample(
        at_s=point.time.timestamp(),
        duration_ms=point.value,
        instance=tags["instance"],
        kind=tags["kind"],
        status=tags["code"],
        cache=tags["cache"],
        right=tags["right"] == "yes",
    )
