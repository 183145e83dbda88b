"""Cases: validating stored pages with the app and for clients (RFC 9111, section 4.3)."""

from typing import Any

from .semantic_case import Case, Step, says
from .semantic_freshness import at

BRIEF = "cache-control: max-age=10"
ASKING = "cache-control: max-age=60, no-cache"
UNCHANGED = says(status=304)


def again(*lines: str, **rest: Any) -> Step:
    """Return a request after the lifetime of a page with `BRIEF`; the app says 304 so."""
    step = Step("confirmed", after_s=15, says=says(*lines, status=304), body="one")
    return step._replace(**rest)


_WITH_THE_APP = [
    Case("validate-etag", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again(seen=('if-none-match: "a"',), unseen=("if-modified-since",),
                parts=("fwd=stale", "stored", "ttl=10"), has=('etag: "a"', BRIEF), lacks=("age",)),
          Step("cache", after_s=9, body="one", has=("age: 9",)), again(after_s=1))),
    Case("validate-weak-etag", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: W/"a"')), again(seen=('if-none-match: W/"a"',)))),
    Case("validate-last-modified", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, f"last-modified: {at(-99)}")),
          again(seen=(f"if-modified-since: {at(-99)}",), unseen=("if-none-match",)),
          Step("cache", body="one"))),
    Case("validate-both", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: "a"', f"last-modified: {at(-99)}")),
          again(seen=('if-none-match: "a"', f"if-modified-since: {at(-99)}")))),
    Case("validate-not-by-an-etag-of-the-cache", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF)), Step("app", after_s=15, unseen=("if-none-match",)))),
    Case("validate-not-by-a-broken-etag", "RFC 9110 8.8.3",
         (Step("app", says=says(BRIEF, "etag: a")),
          Step("app", after_s=15, unseen=("if-none-match",)))),
    Case("validate-not-what-a-client-sent", "RFC 9111 4.3.1",
         (Step("app", fields=('if-none-match: "x"', f"if-modified-since: {at(0)}"), body="one",
               says=says(BRIEF), unseen=("if-none-match", "if-modified-since")),)),
    Case("validate-and-changed", "RFC 9111 4.3.3",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          Step("app", after_s=15, says=says(BRIEF, 'etag: "b"', body="two"), body="two",
               has=('etag: "b"',), seen=('if-none-match: "a"',)),
          Step("cache", body="two", has=('etag: "b"',)))),
    Case("validate-and-gone", "RFC 9111 4.3.3",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          Step("app", after_s=15, says=says(BRIEF, status=410), status=410),
          Step("cache", status=410))),
    Case("validate-and-no-store", "RFC 9111 4.3.3",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          Step("app", after_s=15, says=says("cache-control: no-store", body="two"), body="two"),
          Step("app", after_s=2, body="two"))),
    Case("validate-after-soft", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again(after_s=0, soft=("/page",)),
          Step("cache", body="one"))),
    Case("validate-not-after-hard", "http.md",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          Step("app", hard=("/page",), says=says(BRIEF, 'etag: "a"', body="two"), body="two",
               unseen=("if-none-match",)))),
    Case("validate-at-another-instance", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again(at=1, seen=('if-none-match: "a"',)), Step("cache", at=1),
          Step("cache", body="one"))),
    Case("validate-a-variant", "RFC 9111 4.3.1",
         (Step("app", fields=("x: 1",), says=says(BRIEF, 'etag: "a"', "vary: X")),
          Step("app", fields=("x: 2",), says=says(BRIEF, 'etag: "b"', "vary: X", body="two")),
          again(fields=("x: 1",), seen=('if-none-match: "a"', "x: 1")),
          again(after_s=0, fields=("x: 2",), seen=('if-none-match: "b"', "x: 2"), body="two"),
          Step("cache", fields=("x: 1",), body="one"),
          Step("cache", fields=("x: 2",), body="two"))),
    Case("validate-for-head", "RFC 9111 4.3.1",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again(ask="HEAD /page", body="", has=("content-length: 3",)), Step("cache", body="one"))),
    Case("validate-for-a-client-that-holds-it", "RFC 9111 4.3.2",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again(fields=('if-none-match: "a"',), status=304, body="", seen=('if-none-match: "a"',)),
          Step("cache", body="one"))),
    Case("validate-for-a-client-with-another", "RFC 9111 4.3.2",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again(fields=('if-none-match: "z"',), body="one", seen=('if-none-match: "a"',)))),
    # no-cache, and lifetimes that are over at once.
    *(
        Case(f"each-time {line}", "RFC 9111 5.2.2.4, 4.3",
             (Step("app", says=says(line, 'etag: "a"')), again(after_s=0), again(after_s=90),
              again(after_s=0, fields=('if-none-match: "a"',), status=304, body=""),
              Step("app", says=says(line, 'etag: "b"', body="two"), body="two"),
              again(after_s=0, body="two", seen=('if-none-match: "b"',))))
        for line in (ASKING, 'cache-control: no-cache="x", max-age=60', "cache-control: no-cache",
                     "cache-control: max-age=0", f"expires: {at(-5)}")
    ),
    Case("no-cache-without-validator", "RFC 9111 5.2.2.4",
         (Step("app", says=says(ASKING)), Step("app", after_s=2, unseen=("if-none-match",)))),
    Case("no-cache-and-the-app-fails", "RFC 9111 5.2.2.4",
         (Step("app", says=says(ASKING, 'etag: "a"')), Step("app", says=says(status=503),
                                                            status=503))),
    Case("must-revalidate-fresh", "RFC 9111 5.2.2.2",
         (Step("app", says=says(BRIEF + ", must-revalidate", 'etag: "a"')), Step("cache"),
          again())),
]  # fmt: skip

_FRESHENING = [
    Case("304-fields", "RFC 9111 3.2",
         (Step("app", says=says(BRIEF, 'etag: "a"', "x-a: 1", "x-b: 1", "x-b: 2", "x-c: 1")),
          again("x-b: 3", "x-new: 1", has=("x-a: 1", "x-b: 3", "x-c: 1", "x-new: 1")),
          Step("cache", has=("x-a: 1", "x-b: 3", "x-c: 1", "x-new: 1")))),
    Case("304-fields-of-the-body", "RFC 9111 3.2",
         (Step("app", says=says(BRIEF, 'etag: "a"', "content-type: a/b")),
          again("content-encoding: x", "content-length: 99", "content-range: bytes 0-1/2",
                lacks=("content-encoding", "content-range"), has=("content-length: 3",)),
          Step("cache", lacks=("content-encoding", "content-range"),
               has=("content-length: 3", "content-type: a/b")))),
    Case("304-fields-of-the-connection", "RFC 9111 3.2",
         (Step("app", says=says(BRIEF, 'etag: "a"', "x-hop: stored")),
          again("connection: x-hop", "x-hop: new", "keep-alive: 5", has=("x-hop: stored",),
                lacks=("connection", "keep-alive")))),
    Case("304-lifetime", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          again("cache-control: max-age=90", has=("cache-control: max-age=90",)),
          Step("cache", after_s=89), again(after_s=1))),
    Case("304-lifetime-of-the-stored-page", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again(), Step("cache", after_s=9),
          again(after_s=1))),
    Case("304-expires", "RFC 9111 4.3.4",
         (Step("app", says=says(f"expires: {at(10)}", 'etag: "a"')),
          again(f"expires: {at(100)}", f"date: {at(15)}"), Step("cache", after_s=84.5),
          again(after_s=0.5))),
    Case("304-date", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"', f"date: {at(0)}")),
          again(f"date: {at(15)}", has=(f"date: {at(15)}",), lacks=("age",)))),
    Case("304-without-date", "RFC 9110 6.6.1",
         (Step("app", says=says(BRIEF, 'etag: "a"', f"date: {at(0)}")),
          again(has=(f"date: {at(15)}",), lacks=("age",)),
          Step("cache", after_s=9, has=("age: 9",)))),
    Case("304-age", "RFC 9111 4.2.3",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again("age: 4", has=("age: 4",)),
          Step("cache", after_s=5, has=("age: 9",)), again("age: 4", after_s=1))),
    *(
        Case(f"304-not-to-be-stored {line}", "RFC 9111 4.3.4, 5.2.2",
             (Step("app", says=says(BRIEF, 'etag: "a"')),
              again(line, has=(line,), lacks_parts=("stored",)),
              Step("app", says=says(line, 'etag: "a"'), unseen=("if-none-match",), has=(line,)),
              Step("app", after_s=2, at=1)))
        for line in ("cache-control: private, max-age=60", "cache-control: no-store",
                     "set-cookie: a=b")
    ),
    Case("304-no-cache", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again("cache-control: no-cache"),
          again(after_s=0))),
    *(
        Case(f"304-other-etag {old} {new}", "RFC 9111 4.3.4",
             (Step("app", says=says(BRIEF, f"etag: {old}", "x-a: 1")),
              Step("app", after_s=15, seen=(f"if-none-match: {old}",), runs=2, body="two",
                   has=(f"etag: {new}",), lacks=("x-a",), parts=("fwd=stale", "stored"),
                   says=says(f"etag: {new}", "x-a: 2", status=304,
                             unasked=says(BRIEF, f"etag: {new}", body="two"))),
              Step("cache", body="two", has=(f"etag: {new}",))))
        for old, new in (('"a"', '"b"'), ('W/"a"', 'W/"b"'), ('"a"', 'W/"b"'), ('W/"a"', '"a"'))
    ),
    Case("304-etag-of-a-page-without", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, f"last-modified: {at(-99)}")),
          Step("app", after_s=15, runs=2, body="two", has=('etag: "b"',),
               says=says('etag: "b"', status=304, unasked=says(BRIEF, 'etag: "b"', body="two"))))),
    Case("304-weak-etag-of-a-strong-one", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again('etag: W/"a"', has=('etag: "a"',)))),
    Case("304-etag-repeated", "RFC 9111 4.3.4",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again('etag: "a"', has=('etag: "a"',)))),
    Case("304-new-tags", "http.md",
         (Step("app", says=says(BRIEF, 'etag: "a"', "cache-tag: old")), again("cache-tag: new"),
          Step("cache", hard=("old",), body="one"), Step("app", hard=("new",), says=says(BRIEF)))),
    Case("304-by-soft-then-hard", "http.md",
         (Step("app", says=says(BRIEF, 'etag: "a"')), again(after_s=0, soft=("/page",)),
          Step("app", hard=("/page",), says=says(BRIEF, body="two"), body="two"))),
    Case("304-unasked", "RFC 9110 15.4.5",
         (Step("app", says=says(BRIEF, status=304, body=""), status=304, body=""),
          Step("app", after_s=2, says=says(BRIEF)), Step("cache"))),
]  # fmt: skip

MODIFIED = says("cache-control: max-age=60", f"last-modified: {at(-60)}", "content-type: a/b")


def client(
    label: str,
    status: int,
    *fields: str,
    lines: tuple[str, ...] = (),
    source: str = "RFC 9111 4.3.2",
) -> Case:
    """Return a case of a client's condition on a stored page with the ETag "a"."""
    first = Step("app", says=says("cache-control: max-age=60", *(lines or ('etag: "a"',))))
    step = Step("cache", fields=fields, status=status, body="" if status == 304 else "one")
    return Case(f"condition-{label}", source, (first, step))


SINCE = (f"last-modified: {at(-60)}",)
_FOR_CLIENTS = [
    client("etag", 304, 'if-none-match: "a"'), client("other-etag", 200, 'if-none-match: "b"'),
    client("weak", 304, 'if-none-match: W/"a"'), client("list", 304, 'if-none-match: "b" ,"a"'),
    client("list-without", 200, 'if-none-match: "b", "c"'), client("any", 304, "if-none-match: *"),
    client("unquoted", 200, "if-none-match: a"), client("case", 200, 'if-none-match: "A"'),
    client("weak-page", 304, 'if-none-match: "a"', lines=('etag: W/"a"',)),
    client("comma-in-etag", 304, 'if-none-match: "a,b"', lines=('etag: "a,b"',)),
    client("since", 304, f"if-modified-since: {at(-60)}", lines=SINCE),
    client("since-later", 304, f"if-modified-since: {at(0)}", lines=SINCE),
    client("since-before", 200, f"if-modified-since: {at(-61)}", lines=SINCE),
    client("since-broken", 200, "if-modified-since: yesterday", lines=SINCE),
    client("since-and-no-date-known", 200, f"if-modified-since: {at(0)}", source="http.md"),
    client("etag-before-since", 200, 'if-none-match: "b"', f"if-modified-since: {at(0)}",
           lines=('etag: "a"', *SINCE)),
    client("etag-although-since", 304, 'if-none-match: "a"', f"if-modified-since: {at(-900)}",
           lines=('etag: "a"', *SINCE)),
    Case("condition-fields-of-304", "RFC 9110 15.4.5",
         (Step("app", says=says("cache-control: max-age=60", 'etag: "a"', "vary: X", "x-a: 1",
                                "content-location: /b", f"expires: {at(60)}", "content-type: a/b")),
          Step("cache", fields=('if-none-match: "a"',), status=304, after_s=3,
               has=('etag: "a"', "vary: X", "content-location: /b", f"expires: {at(60)}", "age: 3",
                    "cache-control: max-age=60", f"date: {at(0)}"),
               lacks=("content-length", "content-type")))),
    Case("condition-on-an-error", "RFC 9110 13.2.1",
         (Step("app", says=says(BRIEF, 'etag: "a"', status=404), status=404),
          Step("cache", fields=('if-none-match: "a"',), status=404, body="one"))),
    Case("condition-on-head", "RFC 9110 13.1.2",
         (Step("app", says=says(BRIEF, 'etag: "a"')),
          Step("cache", ask="HEAD /page", fields=('if-none-match: "a"',), status=304))),
    Case("condition-on-a-miss", "RFC 9111 4.3.2",
         (Step("app", fields=('if-none-match: "a"',), says=says(BRIEF, 'etag: "a"'), status=304,
               body=""),
          Step("cache", body="one"))),
    *(
        Case(f"condition-for-the-app {field}", "RFC 9111 4.3.2",
             (Step("app", says=says("cache-control: max-age=60", 'etag: "a"')),
              Step("app", fields=(field,), says=says(status=412), status=412, seen=(field,)),
              Step("cache", body="one")))
        for field in ('if-match: "b"', f"if-unmodified-since: {at(-90)}")
    ),
]  # fmt: skip

VALIDATING = [*_WITH_THE_APP, *_FRESHENING, *_FOR_CLIENTS]
