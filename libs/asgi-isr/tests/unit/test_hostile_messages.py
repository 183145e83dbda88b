"""What else arrives from outside: fields, registrations, popular pages. All of it is bounded."""

import msgspec
import pytest
from asgi_isr.counters import Counters
from asgi_isr.engine.reporter import Reporter
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.logs.nats.registrations import decoded
from asgi_isr.nats.headers import Headers
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.page import Page
from asgi_isr.reports import (
    POPULAR_BYTES_MAX,
    POPULAR_PAGES_MAX,
    POPULAR_PATH_CHARS_MAX,
    REPORT_BYTES_MAX,
    Report,
)

SERVERS = b"Nats-Subject: cache.invalidations.v1.shop\r\nNats-Sequence: 7\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [b"a:1\r\n" * 200_000, b"a" * 1_000_000 + b":\r\n", b"\r\n" * 400_000, b"a:" + b" " * 900_000,
     b"".join(b"a%d:1\r\n" % number for number in range(100_000))],
    ids=["many", "one", "none", "spaces", "different"],
)  # fmt: skip
def test_of_a_megabyte_of_fields_the_first_and_last_are_decoded(fields: bytes) -> None:
    """The publisher's id stands first, what the server adds last; between them nobody looks."""
    raw = b"NATS/1.0\r\nce-id: one\r\n" + fields + b"\r\n" + SERVERS
    headers = Headers(raw)
    assert headers.get("Nats-Sequence") == "7"
    assert headers["Nats-Sequence"] == "7"
    assert headers["ce-id"] == "one"
    assert len(headers) < 5000
    assert sum(len(name) + len(value) for name, value in headers.items()) <= 16 * 1024


def test_report_over_a_limit_is_none() -> None:
    """A registration or report that is larger than any instance's is not read."""
    report = Report(instance="one", position=1, lease_s=15.0)
    body = msgspec.json.encode(report)
    assert decoded("cache.instances.v1.one", body) == report
    padded = body + b" " * (REPORT_BYTES_MAX - len(body))
    assert decoded("cache.instances.v1.one", padded) == report
    assert decoded("cache.instances.v1.one", padded + b" ") is None
    assert decoded("cache.instances.v1.one", b"[" * 60_000) is None


async def test_popular_pages_are_named_within_their_limits() -> None:
    """However many and long the paths of popular pages are, one message names them."""
    log = MemoryLog()
    reporter = Reporter(
        log, Counters(), name="one", lease_s=1.0, standing=lambda: None, end_lease=lambda: None
    )
    paths = ["/" + "x" * POPULAR_PATH_CHARS_MAX]
    paths += [f"/{number:03}" + "😀" * 900 for number in range(40)]
    paths += [f"/{number}" for number in range(200)]
    entries = []
    for hits, path in enumerate(reversed(paths)):
        page = Page(
            key=path, status=200, headers=[], etag=b'"e"', given=False, bodies={"": b"text"},
            tags=("a",), fence=1, created=0.0, ttl_s=60.0, swr_s=0.0, sie_s=0.0,
        )  # fmt: skip
        entry = Entry(page, now=0.0, wall=0.0)
        entry.hits = hits + 1
        entries.append(entry)
    reporter.note_popular(entries, 5)
    (told,) = reporter._popular
    assert 0 < len(told.pages) <= POPULAR_PAGES_MAX
    assert len(msgspec.json.encode(told)) <= POPULAR_BYTES_MAX
    assert all(len(page.path) <= POPULAR_PATH_CHARS_MAX for page in told.pages)
