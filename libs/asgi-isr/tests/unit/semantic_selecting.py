"""Cases: variants by request fields (RFC 9111, 4.1), codings (RFC 9110, 12.5.3), parts (14)."""

import gzip

from .semantic_case import Case, Step, says
from .semantic_freshness import at

LIVES = "cache-control: max-age=60"
LONG = "page " * 400
LONG_GZIPPED = len(gzip.compress(LONG.encode(), compresslevel=6, mtime=0))
TEXT = "content-type: text/plain"


def varies(names: str, first: tuple[str, ...], second: tuple[str, ...], *, same: bool) -> Case:
    """Return a case of two requests that select the same page, or another one."""
    steps = (
        Step("app", fields=first, says=says(LIVES, f"vary: {names}")),
        Step(
            "cache" if same else "app", fields=second, says=says(LIVES, f"vary: {names}", body="2")
        ),
        Step("cache", fields=first, body="one"),
        Step("cache", fields=second, body="one" if same else "2"),
    )
    word = "same" if same else "other"
    return Case(f"vary {names}: {first} {second} {word}", "RFC 9111 4.1", steps)


def once(names: str) -> Case:
    """Return a case of a page that varies so that it is never stored."""
    line = f"vary: {names}"
    steps = (Step("app", says=says(LIVES, line)), Step("app"))
    return Case(f"vary {names}: never", "RFC 9111 4.1", steps)


_VARY = [
    varies("X", ("x: 1",), ("x: 2",), same=False),
    varies("X", ("x: 1",), ("X: 1", "y: 2"), same=True),
    varies("X", ("x: 1",), (), same=False),
    varies("X", (), ("y: 1",), same=True),
    varies("X", ("x: a",), ("x: A",), same=False),
    varies("X", ("x: a,b",), ("x: a ,  b",), same=True),
    varies("X", ("x: a, b",), ("x: a", "x: b"), same=True),
    varies("X", ("x: a, b",), ("x: b, a",), same=False),
    varies("X", ('x: "a, b"',), ('x: "a,b"',), same=False),
    varies("x", ("x: 1",), ("x: 1",), same=True),
    varies("X, Y", ("x: 1", "y: 1"), ("y: 1", "x: 1"), same=True),
    varies("X, Y", ("x: 1", "y: 1"), ("x: 1", "y: 2"), same=False),
    varies("X, Y", ("x: 1", "y: 2"), ("x: 2", "y: 1"), same=False),
    varies("Accept-Language", ("accept-language: en, de",), ("accept-language: de,en",), same=True),
    varies("Accept-Language", ("accept-language: en;q=0.5, de",),
           ("accept-language: en, de;q=0.5",), same=False),
    varies("Accept-Encoding", ("accept-encoding: gzip",), ("accept-encoding: br",), same=True),
    varies("Accept-Encoding, X", ("accept-encoding: gzip", "x: 1"), ("x: 1",), same=True),
    once("*"), once("X, *"), once("Cookie"), once("Authorization"),
    Case("vary-in-two-lines", "RFC 9111 4.1",
         (Step("app", fields=("x: 1", "y: 1"), says=says(LIVES, "vary: X", "vary: Y")),
          Step("app", fields=("x: 1", "y: 2")), Step("app", fields=("x: 2", "y: 1")),
          Step("cache", fields=("x: 1", "y: 2")))),
    Case("vary-three", "RFC 9111 4.1",
         (*(Step("app", fields=(f"x: {n}",), says=says(LIVES, "vary: X", body=n)) for n in "123"),
          *(Step("cache", fields=(f"x: {n}",), body=n) for n in "123"))),
    Case("vary-ends", "RFC 9111 4.1",
         (Step("app", fields=("x: 1",), says=says(LIVES, "vary: X")),
          Step("app", fields=("x: 2",), says=says(LIVES, body="for all")),
          Step("cache", fields=("x: 3",), body="for all"))),
    Case("vary-of-head", "RFC 9111 4.1",
         (Step("app", ask="HEAD /page", fields=("x: 1",), says=says(LIVES, "vary: X")),
          Step("cache", fields=("x: 1",)), Step("app", fields=("x: 2",)))),
    Case("vary-at-another-instance", "RFC 9111 4.1",
         (Step("app", fields=("x: 1",), says=says(LIVES, "vary: X")),
          Step("app", fields=("x: 2",), says=says(LIVES, "vary: X", body="2"), at=1),
          Step("cache", fields=("x: 1",), at=1, body="one"),
          Step("cache", fields=("x: 2",), body="2"))),
    Case("vary-invalidated", "RFC 9111 4.4",
         (Step("app", fields=("x: 1",), says=says(LIVES, "vary: X")),
          Step("app", fields=("x: 2",)),
          Step("app", fields=("x: 1",), hard=("/page",)), Step("app", fields=("x: 2",)))),
    Case("vary-stale", "RFC 5861 3",
         (Step("app", fields=("x: 1",),
               says=says("cache-control: max-age=9, stale-while-revalidate=9", "vary: X")),
          Step("cache", fields=("x: 1",), after_s=12, runs=1, seen=("x: 1",)),
          Step("cache", fields=("x: 1",), has=("age: 0",)))),
]  # fmt: skip

TAKES_GZIP = "accept-encoding: gzip"
GZIPPED = ("content-encoding: gzip", 'etag: "a-gzip"', "vary: Accept-Encoding")


def coded(
    lines: tuple[str, ...], *, body: str = LONG, gives: str | None = None
) -> tuple[Step, ...]:
    """Return a request that takes gzip, and another one; both get the coding that is named."""
    is_coded = () if gives is None else (f"content-encoding: {gives}",)
    lacks = ("content-encoding",) if gives is None else ()
    step = Step(
        "app", fields=(TAKES_GZIP,), says=says(*lines, body=body), has=is_coded, lacks=lacks
    )
    return (step, step._replace(by="cache", says=None))


def takes(accept: str, gives: str | None) -> Case:
    """Return a case of what a client that accepts so gets."""
    has = () if gives is None else (f"content-encoding: {gives}",)
    first = Step(
        "app", says=says(LIVES, TEXT, 'etag: "a"', body=LONG), body=LONG,
        has=("vary: Accept-Encoding", 'etag: "a"'), lacks=("content-encoding",),
    )  # fmt: skip
    lacks = ("content-encoding",) if gives is None else ()
    etag = 'etag: "a"' if gives is None else f'etag: "a-{gives}"'
    asked = Step("cache", fields=(f"accept-encoding: {accept}",), has=(*has, etag), lacks=lacks)
    return Case(f"accept-encoding {accept}", "RFC 9110 12.5.3", (first, asked))


_CODINGS = [
    takes("gzip", "gzip"), takes("GZIP", "gzip"), takes("x-gzip", "gzip"),
    takes("gzip;q=1", "gzip"), takes("gzip;q=0", None), takes("gzip;q=0.000", None),
    takes("identity", None), takes("", None), takes("deflate", None), takes("*;q=0", None),
    takes("gzip;q=0, br;q=0, *", None),
    takes("identity;q=1, gzip;q=0.5", None), takes("gzip ; q=0.5", "gzip"), takes("gzip;q=x", None),
    Case("coded-text", "RFC 9110 8.4", coded((LIVES, TEXT), gives="gzip")),
    Case("coded-bodies", "RFC 9110 8.4",
         (Step("app", fields=(TAKES_GZIP,), says=says(LIVES, TEXT, 'etag: "a"', body=LONG),
               has=GZIPPED),
          Step("cache", body=LONG, has=('etag: "a"', f"content-length: {len(LONG)}")),
          Step("cache", ask="HEAD /page", fields=(TAKES_GZIP,), body="",
               has=(*GZIPPED, f"content-length: {LONG_GZIPPED}")))),
    Case("coded-not-short", "RFC 9110 8.4", coded((LIVES, TEXT), body="short")),
    Case("coded-not-a-picture", "RFC 9110 8.4", coded((LIVES, "content-type: image/png"))),
    Case("coded-by-the-app", "RFC 9110 8.4",
         coded((LIVES, TEXT, "content-encoding: x"), gives="x")),
    Case("no-transform", "RFC 9110 7.7", coded((LIVES + ", no-transform", TEXT))),
    Case("no-transform-beside-targeted", "RFC 9110 7.7",
         coded(("cdn-cache-control: max-age=60", "cache-control: no-transform", TEXT))),
    Case("coded-weak", "RFC 9110 8.8.3.3",
         (Step("app", fields=(TAKES_GZIP,), says=says(LIVES, TEXT, 'etag: W/"a"', body=LONG),
               has=('etag: W/"a-gzip"',)),
          Step("cache", fields=(TAKES_GZIP, 'if-none-match: "a-gzip"'), status=304))),
    Case("coded-304", "RFC 9110 8.8.3.3",
         (Step("app", says=says(LIVES, TEXT, 'etag: "a"', body=LONG)),
          Step("cache", fields=(TAKES_GZIP, 'if-none-match: "a-gzip"'), status=304,
               has=('etag: "a-gzip"',), lacks=("content-encoding",)),
          Step("cache", fields=(TAKES_GZIP, 'if-none-match: "a"'), has=GZIPPED),
          Step("cache", fields=('if-none-match: "a"',), status=304))),
    Case("coded-vary-is-added", "RFC 9110 12.5.5",
         (Step("app", says=says(LIVES, TEXT, "vary: X", body=LONG),
               has=("vary: X, Accept-Encoding",)),
          Step("cache", has=("vary: X, Accept-Encoding",)))),
    Case("app-does-not-see-codings", "http.md",
         (Step("app", fields=(TAKES_GZIP,), says=says(LIVES), unseen=("accept-encoding",)),)),
]  # fmt: skip

DIGITS = says(LIVES, 'etag: "a"', f"last-modified: {at(-90)}", f"date: {at(0)}", body="0123456789",
              )  # fmt: skip


def part(asked: str, body: str | None, span: str = "", *more: str) -> Case:
    """Return a case of a part of a stored page; `body` None: the whole is the answer."""
    answer = (
        Step("cache", status=200, body="0123456789", has=("content-length: 10",),
             lacks=("content-range",))
        if body is None
        else Step("cache", status=206, body=body,
                  has=(f"content-range: bytes {span}/10", f"content-length: {len(body)}",
                       'etag: "a"'))
    )  # fmt: skip
    step = answer._replace(fields=(f"range: {asked}", *more))
    return Case(f"range {asked} {more}", "RFC 9110 14", (Step("app", says=DIGITS), step))


_PARTS = [
    part("bytes=0-3", "0123", "0-3"), part("bytes=4-", "456789", "4-9"),
    part("Bytes=4-4", "4", "4-4"), part("bytes=-3", "789", "7-9"),
    part("bytes=8-99", "89", "8-9"), part("bytes=-99", "0123456789", "0-9"),
    part("bytes=0-1,4-5", None), part("pages=0-1", None), part("bytes=4-2", None),
    part("bytes=a-b", None), part("bytes=", None), part("bytes=-", None),
    part("bytes=0-3", "0123", "0-3", 'if-range: "a"'), part("bytes=0-3", None, "", 'if-range: "b"'),
    part("bytes=0-3", None, "", 'if-range: W/"a"'), part("bytes=0-3", None, "", "if-range: x"),
    part("bytes=0-3", "0123", "0-3", f"if-range: {at(-90)}"),
    part("bytes=0-3", None, "", f"if-range: {at(-89)}"),
    part("bytes=0-3", None, "", f"if-range: {at(-91)}"),
    part("bytes=0-3", "0123", "0-3", TAKES_GZIP),
    *(
        Case(f"range-unsatisfiable {asked}", "RFC 9110 15.5.17",
             (Step("app", says=DIGITS),
              Step("cache", fields=(f"range: {asked}",), status=416, body="",
                   has=("content-range: bytes */10", "cache-control: no-store")),
              Step("cache", body="0123456789", has=(LIVES,))))
        for asked in ("bytes=10-", "bytes=10-12", "bytes=-0")
    ),
    Case("range-weak-etag", "RFC 9110 13.1.5",
         (Step("app", says=says(LIVES, 'etag: W/"a"', body="0123")),
          Step("cache", fields=("range: bytes=0-1", 'if-range: W/"a"'), body="0123"),
          Step("cache", fields=("range: bytes=0-1", 'if-range: "a"'), body="0123"),
          Step("cache", fields=("range: bytes=0-1",), body="01", status=206))),
    Case("range-weak-date", "RFC 9110 13.1.5, 8.8.2.2",
         (Step("app", says=says(LIVES, f"last-modified: {at(0)}", f"date: {at(0)}", body="0123")),
          Step("cache", fields=("range: bytes=0-1", f"if-range: {at(0)}"), body="0123"))),
    Case("range-of-head", "RFC 9110 14.2",
         (Step("app", says=DIGITS),
          Step("cache", ask="HEAD /page", fields=("range: bytes=0-1",), body="",
               has=("content-length: 10",), lacks=("content-range",)))),
    Case("range-of-an-error", "RFC 9110 14.2",
         (Step("app", says=says(LIVES, status=404), status=404),
          Step("cache", fields=("range: bytes=0-1",), status=404, body="one"))),
    Case("range-and-if-none-match", "RFC 9110 13.2.2",
         (Step("app", says=DIGITS),
          Step("cache", fields=("range: bytes=0-1", 'if-none-match: "a"'), status=304, body=""),
          Step("cache", fields=("range: bytes=0-1", 'if-none-match: "b"'), status=206, body="01"))),
    Case("range-and-if-modified-since", "RFC 9110 13.2.2",
         (Step("app", says=DIGITS),
          Step("cache", fields=("range: bytes=0-1", f"if-modified-since: {at(-90)}"), status=304,
               body=""),
          Step("cache", fields=("range: bytes=0-1", f"if-modified-since: {at(-91)}"), status=206,
               body="01"))),
    Case("range-of-what-is-not-stored", "RFC 9110 14.2",
         (Step("app", fields=("range: bytes=0-1",), status=206, seen=("range: bytes=0-1",),
               says=says(LIVES, "content-range: bytes 0-1/3", status=206, body="on"), body="on",
               has=("cache-control: no-store", "content-range: bytes 0-1/3")),
          Step("app", says=says(LIVES)))),
    Case("range-of-a-whole-not-stored", "RFC 9111 3.3",
         (Step("app", fields=("range: bytes=0-1",), says=says(LIVES),
               has=("cache-control: no-store",)),
          Step("app"))),
    Case("range-of-what-is-stale", "RFC 9111 3.3",
         (Step("app", says=says("cache-control: max-age=5, stale-while-revalidate=60")),
          Step("app", after_s=9, fields=("range: bytes=0-1",)))),
    Case("range-of-what-is-coded", "RFC 9110 14.2",
         (Step("app", fields=(TAKES_GZIP,), says=says(LIVES, TEXT, 'etag: "a"', body=LONG)),
          Step("cache", fields=(TAKES_GZIP, "range: bytes=0-3"), status=206, body="page",
               has=('etag: "a"',), lacks=("content-encoding",)))),
    Case("range-of-a-private-page", "RFC 9111 3.5",
         (Step("app", says=says(LIVES)),
          Step("app", fields=("range: bytes=0-1", "authorization: Basic dTpw")))),
]  # fmt: skip

SELECTING = [*_VARY, *_CODINGS, *_PARTS]
