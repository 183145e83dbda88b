"""Cases: unsafe methods that invalidate (RFC 9111, 4.4), groups (RFC 9875), Cache-Status (9211)."""

from .semantic_case import Case, Step, says

LIVES = "cache-control: max-age=600"


def change(
    label: str, ask: str, *lines: str, status: int = 200, source: str = "RFC 9111 4.4",
    page: str = "/page", ends: bool = True, page_lines: tuple[str, ...] = (),
    fields: tuple[str, ...] = (), at: int = 0,
) -> Case:  # fmt: skip
    """Return a case of a page before and after the answer to a request."""
    kept = says(LIVES, *page_lines)
    steps = (
        Step("app", ask=f"GET {page}", says=kept),
        Step("app", ask=ask, says=says(*lines, status=status), status=status, fields=fields, at=at,
             seen=fields),
        Step("app" if ends else "cache", ask=f"GET {page}", says=kept._replace(body="two"),
             body="two" if ends else "one"),
    )  # fmt: skip
    return Case(f"change-{label}", source, steps)


METHODS = ("POST", "PUT", "DELETE", "PATCH", "X-Y")
GROUP = ('cache-groups: "g"',)
ENDS_GROUP = 'cache-group-invalidation: "g"'
_CHANGES = [
    *(change(f"by-{method}", f"{method} /page") for method in METHODS),
    *(change(f"not-by-{method}", f"{method} /page", ends=False) for method in ("OPTIONS", "TRACE")),
    *(change(f"by-{status}", "POST /page", status=status) for status in (201, 204, 302, 303)),
    *(change(f"not-by-{status}", "POST /page", status=status, ends=False)
      for status in (400, 412, 500)),
    change("another-path", "POST /other", ends=False),
    change("every-query", "POST /page", page="/page?a=1"),
    change("with-a-query", "POST /page?b=1"),
    change("location", "POST /other", "location: /page", status=201),
    change("location-relative", "POST /dir/other", "location: ../page"),
    change("location-absolute", "POST /other", "location: http://test/page"),
    change("location-host-in-capitals", "POST /other", "location: http://TEST/page"),
    change("location-with-a-query", "POST /other", "location: /page?a=1#b"),
    change("location-encoded", "POST /other", "location: /%70age"),
    change("location-elsewhere", "POST /other", "location: http://elsewhere/page", ends=False),
    change("location-other-port", "POST /other", "location: http://test:81/page", ends=False),
    change("location-broken", "POST /other", "location: http://[/page", ends=False),
    change("location-of-an-error", "POST /other", "location: /page", status=409, ends=False),
    change("content-location", "PUT /other", "content-location: /page"),
    change("content-location-elsewhere", "PUT /other", "content-location: //x/page", ends=False),
    change("location-of-get", "GET /other", "location: /page", LIVES, status=302, ends=False),
    change("at-another-instance", "POST /page", at=1),
    change("group", "POST /other", ENDS_GROUP, page_lines=GROUP, source="RFC 9875 3"),
    change("group-of-several", "POST /other", 'cache-group-invalidation: "x", "g"',
           source="RFC 9875 3", page_lines=('cache-groups: "g", "h"',)),
    change("group-in-lines", "POST /other", ENDS_GROUP, source="RFC 9875 2",
           page_lines=('cache-groups: "h"', 'cache-groups: "g"')),
    change("other-group", "POST /other", 'cache-group-invalidation: "x"', page_lines=GROUP,
           ends=False, source="RFC 9875 3"),
    change("group-is-no-tag", "POST /other", ENDS_GROUP, page_lines=("cache-tag: g",), ends=False,
           source="RFC 9875 2"),
    change("group-token", "POST /other", "cache-group-invalidation: g", page_lines=GROUP,
           ends=False, source="RFC 9875 3"),
    change("group-by-get", "GET /other", ENDS_GROUP, page_lines=GROUP, ends=False,
           source="RFC 9875 3"),
    change("group-of-another-host", "POST /other", ENDS_GROUP, page_lines=GROUP, ends=False,
           fields=("host: elsewhere",), source="RFC 9875 2.2"),
    change("group-of-an-error", "POST /other", ENDS_GROUP, page_lines=GROUP, status=500, ends=False,
           source="http.md"),
    Case("change-not-wanted", "http.md",
         (Step("app", says=says(LIVES)), Step("app", ask="POST /page"), Step("cache")),
         settings={"unsafe_invalidates": False}),
    Case("change-below-a-bypass", "http.md",
         (Step("app", ask="GET /admin", says=says(LIVES)), Step("app", ask="GET /admin"),
          Step("app", ask="POST /admin")), settings={"bypass": ("/admin",)}),
    Case("change-ends-every-variant", "RFC 9111 4.4",
         (Step("app", fields=("x: 1",), says=says(LIVES, "vary: X")), Step("app", fields=("x: 2",)),
          Step("app", ask="DELETE /page"),
          Step("app", fields=("x: 1",)), Step("app", fields=("x: 2",)))),
    Case("change-is-not-validated", "RFC 9111 4.4",
         (Step("app", says=says(LIVES, 'etag: "a"')), Step("app", ask="POST /page"),
          Step("app", unseen=("if-none-match",)))),
    Case("change-answer-is-not-stored", "RFC 9111 4",
         (Step("app", ask="POST /page", says=says(LIVES, "content-location: /page", body="posted")),
          Step("app", says=says(LIVES), body="one"))),
    Case("change-fields-pass", "RFC 9110 9.3.3",
         (Step("app", ask="POST /page", fields=('if-match: "a"', "range: bytes=0-1"),
               seen=('if-match: "a"', "range: bytes=0-1"), says=says('etag: "b"', status=201),
               status=201, has=('etag: "b"',)),)),
]  # fmt: skip

_STATUS = [
    Case("status-miss-and-hit", "RFC 9211 2",
         (Step("app", says=says(LIVES), parts=("fwd=uri-miss", "stored", "ttl=600"),
               lacks_parts=("hit",)),
          Step("cache", after_s=1, parts=("asgi-isr", "hit", "ttl=599", "detail=local")))),
    Case("status-name", "RFC 9211 2",
         (Step("app", says=says(LIVES)), Step("cache", parts=("edge-1", "hit"))),
         settings={"name": "edge-1"}),
    Case("status-stale-forwarded", "RFC 9211 2.2",
         (Step("app", says=says("cache-control: max-age=5", 'etag: "a"')),
          Step("app", after_s=9, parts=("fwd=stale", "stored")))),
    Case("status-confirmed", "RFC 9211 2.3",
         (Step("app", says=says("cache-control: max-age=5", 'etag: "a"')),
          Step("confirmed", after_s=9, says=says(status=304),
               parts=("fwd=stale", "fwd-status=304")))),
    Case("status-not-stored", "RFC 9211 2.4",
         (Step("app", says=says("cache-control: no-store"), lacks_parts=("stored", "hit")),)),
    Case("status-method", "RFC 9211 2.2",
         (Step("app", ask="POST /page", parts=("fwd=method",)),)),
    Case("status-shared", "RFC 9211 2.7",
         (Step("app", says=says(LIVES)), Step("cache", at=1, parts=("hit", "detail=shared")))),
    Case("status-of-a-304", "RFC 9211 2.1",
         (Step("app", says=says(LIVES, 'etag: "a"')),
          Step("cache", fields=("if-none-match: *",), status=304, parts=("hit",)))),
]  # fmt: skip

UNSAFE = [*_CHANGES, *_STATUS]
