"""Cases: what is stored at all (RFC 9111, section 3), and for whom (section 3.5)."""

from .semantic_case import By, Case, Step, kept, not_kept, says

LIVES = "cache-control: max-age=60"
USER = ("authorization: Basic dTpw",)
# Those that a cache may keep when they say for how long, and those that it must not.
STORED_STATUS = (200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 403, 404, 405, 410, 414,
                 451, 501)  # fmt: skip
REFUSED_STATUS = (206, 304, 400, 408, 413, 415, 421, 425, 428, 429, 431, 500, 502, 503, 504, 511)


def _status_kept(status: int) -> tuple[Step, ...]:
    body = "" if status == 204 else "one"
    first = Step("app", says=says(LIVES, status=status, body=body), status=status)
    return (first, Step("cache", status=status, body=body))


def _status_not_kept(status: int) -> tuple[Step, ...]:
    first = Step("app", says=says(LIVES, status=status), status=status)
    return (first, Step("app", status=status))


def _for_a_user(*lines: str, is_kept: bool) -> tuple[Step, ...]:
    """Return what one with credentials asks for first, then others with them and without."""
    by: By = "cache" if is_kept else "app"
    return (
        Step("app", fields=USER, says=says(*lines), seen=USER),
        Step(by, fields=("authorization: Basic b3RoZXI6",)),
        Step(by, fields=()),
    )


def _from_anybody(*lines: str, is_kept: bool) -> tuple[Step, ...]:
    """Return what one without credentials asks for first, then one with them."""
    user = Step("cache" if is_kept else "app", fields=USER, says=says(*lines, body="theirs"))
    return (
        Step("app", says=says(*lines)),
        user._replace(body="one" if is_kept else "theirs"),
        Step("cache", body="one"),
    )


STORING = [
    *(Case(f"status-{one}-kept", "RFC 9111 3", _status_kept(one)) for one in STORED_STATUS),
    *(
        Case(f"status-{one}-refused", "RFC 9111 3, 3.3, RFC 6585", _status_not_kept(one))
        for one in REFUSED_STATUS
    ),
    Case("no-word-of-storing", "RFC 9111 3", not_kept("content-type: text/plain")),
    Case("no-word-but-a-validator", "RFC 9111 3", not_kept('etag: "a"')),
    Case("public-is-no-lifetime", "RFC 9111 5.2.2.9", not_kept("cache-control: public")),
    Case("no-store", "RFC 9111 5.2.2.5", not_kept("cache-control: max-age=60, no-store")),
    Case("no-store-in-another-line", "RFC 9111 5.2.2.5",
         not_kept(LIVES, "Cache-Control: NO-STORE")),
    Case("no-store-in-a-string", "RFC 9111 5.2",
         kept('cache-control: max-age=60, x="a, no-store"')),
    Case("private", "RFC 9111 5.2.2.7", not_kept("cache-control: max-age=60, private")),
    Case("private-fields", "RFC 9111 5.2.2.7", not_kept('cache-control: max-age=60, private="x"')),
    Case("unknown-directive", "RFC 9111 5.2.3", kept("cache-control: max-age=60, community=x")),
    Case("must-understand-known", "RFC 9111 5.2.2.3",
         kept("cache-control: max-age=60, must-understand, no-store")),
    Case("must-understand-unknown", "RFC 9111 5.2.2.3",
         (Step("app", says=says("cache-control: max-age=60, must-understand", status=299),
               status=299),
          Step("app", status=299))),
    Case("pragma-of-a-response", "RFC 9111 5.4", kept(LIVES, "pragma: no-cache")),
    Case("set-cookie", "http.md", not_kept(LIVES, "set-cookie: a=b")),
    Case("set-cookie-wanted", "RFC 9111 7.3", kept(LIVES, "set-cookie: a=b"),
         settings={"store_set_cookie": True}),
    Case("set-cookie-not-by-other-switches", "http.md", not_kept(LIVES, "set-cookie: a=b"),
         settings={"guess_freshness": True, "store_errors": True}),
    Case("errors-wanted", "RFC 9111 3",
         (Step("app", says=says(LIVES, status=503), status=503), Step("cache", status=503)),
         settings={"store_errors": True}),
    Case("errors-not-by-other-switches", "http.md",
         (Step("app", says=says(LIVES, status=503), status=503), Step("app", status=503)),
         settings={"guess_freshness": True, "store_set_cookie": True}),
    # Requests are other ones by method, path, query and host.
    Case("head-after-get", "RFC 9110 9.3.2",
         (Step("app", says=says(LIVES)),
          Step("cache", ask="HEAD /page", body="", has=("content-length: 3",)))),
    Case("get-after-head", "RFC 9110 9.3.2",
         (Step("app", ask="HEAD /page", says=says(LIVES), body="", has=("content-length: 3",)),
          Step("cache", body="one"))),
    Case("another-path", "RFC 9111 2", (*kept(LIVES), Step("app", ask="GET /Page"))),
    Case("another-query", "RFC 9111 2", (*kept(LIVES), Step("app", ask="GET /page?a=1"),
                                         Step("cache", ask="GET /page?a=1"))),
    Case("another-host", "RFC 9111 2", (*kept(LIVES), Step("app", fields=("host: other",)))),
    Case("host-not-part-of-the-key", "http.md",
         (*kept(LIVES), Step("cache", fields=("host: other",))), settings={"vary_host": False}),
    Case("post-not-from-the-cache", "RFC 9111 4",
         (*kept(LIVES), Step("app", ask="POST /page", parts=("fwd=method",)))),
    Case("options-not-from-the-cache", "RFC 9111 4",
         (*kept(LIVES), Step("app", ask="OPTIONS /page"), Step("cache"))),
    # What is kept of the fields.
    Case("fields-are-kept", "RFC 9111 3.1",
         (Step("app", says=says(LIVES, "x-a: 1", "x-a: 2", "content-location: /b")),
          Step("cache", has=("x-a: 1, 2", "content-location: /b", LIVES)))),
    Case("hop-by-hop-fields", "RFC 9111 3.1",
         (Step("app", says=says(LIVES, "connection: x-hop, Close", "x-hop: 1", "keep-alive: 5",
                                "te: trailers", "upgrade: h2c", "proxy-authenticate: Basic",
                                "proxy-authentication-info: a", "x-stays: 1")),
          Step("cache", has=("x-stays: 1",),
               lacks=("connection", "x-hop", "keep-alive", "te", "upgrade", "proxy-authenticate",
                      "proxy-authentication-info")))),
    Case("own-words-of-other-caches", "RFC 9211 2",
         (Step("app", says=says(LIVES, "cache-status: origin; hit", "server-timing: db;dur=1")),
          Step("cache", lacks=("server-timing",), parts=("asgi-isr", "hit")))),
    # Credentials.
    Case("authorization", "RFC 9111 3.5", _for_a_user(LIVES, is_kept=False)),
    Case("authorization-public", "RFC 9111 3.5",
         _for_a_user("cache-control: max-age=60, public", is_kept=True)),
    Case("authorization-s-maxage", "RFC 9111 3.5",
         _for_a_user("cache-control: s-maxage=60", is_kept=True)),
    Case("authorization-must-revalidate", "RFC 9111 3.5",
         _for_a_user("cache-control: max-age=60, must-revalidate", is_kept=True)),
    Case("authorization-proxy-revalidate", "RFC 9111 3.5",
         _for_a_user("cache-control: max-age=60, proxy-revalidate", is_kept=False)),
    Case("authorization-public-no-store", "RFC 9111 3.5",
         _for_a_user("cache-control: max-age=60, public, no-store", is_kept=False)),
    Case("authorization-public-elsewhere", "RFC 9213 2.2",
         _for_a_user("cdn-cache-control: max-age=60", "cache-control: public", is_kept=False)),
    Case("authorization-later", "RFC 9111 3.5", _from_anybody(LIVES, is_kept=False)),
    Case("authorization-later-public", "RFC 9111 3.5",
         _from_anybody("cache-control: max-age=60, public", is_kept=True)),
    Case("authorization-no-condition-of-others", "RFC 9111 3.5",
         (Step("app", says=says("cache-control: max-age=5", 'etag: "a"')),
          Step("app", after_s=9, fields=USER, unseen=("if-none-match",)))),
    Case("authorization-stale", "RFC 9111 3.5",
         (Step("app", says=says("cache-control: max-age=5, stale-while-revalidate=60")),
          Step("app", after_s=9, fields=USER))),
    Case("authorization-failing", "RFC 9111 3.5",
         (Step("app", says=says("cache-control: max-age=5, stale-if-error=60")),
          Step("app", after_s=9, fields=USER, says=says(status=503, body="no"), status=503,
               body="no"))),
    Case("authorization-failing-public", "RFC 9111 3.5",
         (Step("app", says=says("cache-control: max-age=5, stale-if-error=60, public")),
          Step("cache", after_s=9, fields=USER, says=says(status=503, body="no"), body="one",
               runs=1))),
]  # fmt: skip
