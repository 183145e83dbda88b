"""Storability, lifetimes and staleness as tables of cases with their source."""

import pytest
from asgi_isr.http import dates
from asgi_isr.http.policy import Circumstances, Storing, Use, storing, use

NOW = 1_795_400_000.0
AGO = {seconds: dates.form(NOW - seconds).decode() for seconds in (-300, -60, 0, 30, 1000, 10**6)}
# (source, status, fields, expected: (ttl, swr, sie) or the reason against)
STORING = [
    ("RFC 9111 3", 200, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 3", 200, ["cache-control: public"], "no lifetime"),
    ("RFC 9111 3", 200, [], "no lifetime"),
    ("RFC 9111 3", 404, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 3", 302, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 3.3", 206, ["cache-control: max-age=60"], "status 206"),
    ("RFC 9111 3", 304, ["cache-control: max-age=60"], "status 304"),
    ("RFC 6585 4", 429, ["cache-control: max-age=60"], "status 429"),
    ("RFC 6585 3", 428, ["cache-control: max-age=60"], "status 428"),
    ("RFC 6585 6", 511, ["cache-control: max-age=60"], "status 511"),
    ("an error is no page", 500, ["cache-control: max-age=60"], "status 500"),
    ("RFC 9110 15.6.2", 501, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: accept-encoding"], (60, 0, 0)),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: Accept-Encoding, X"], (60, 0, 0)),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: *"], "Vary"),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: X, *"], "Vary"),
    ("nobody else's page", 200, ["cache-control: max-age=60", "vary: Cookie"], "Vary"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=60, max-age=90"], (60, 0, 0)),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=sixty"], "no lifetime"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=-5"], "no lifetime"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age = 60"], "no lifetime"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=60; no-store"], "no lifetime"),
    ("RFC 9111 1.2.2", 200, ["cache-control: max-age=99999999999"], (2**31, 0, 0)),
    ("RFC 9111 5.2.2.1", 200, ["cache-control: MAX-AGE=60"], (60, 0, 0)),
    ("RFC 9111 5.2.2.1", 200, ['cache-control: max-age="60"'], (60, 0, 0)),
    ("RFC 9111 5.2.2.2", 200,
     ["cache-control: max-age=60, must-revalidate, stale-while-revalidate=9"], (60, 0, 0)),
    ("RFC 9111 5.2.2.3", 200, ["cache-control: max-age=60, must-understand, no-store"],
     (60, 0, 0)),
    ("RFC 9111 5.2.2.3", 299, ["cache-control: max-age=60, must-understand"], "must-understand"),
    ("RFC 9111 5.2.2.4", 200, ["cache-control: max-age=60, no-cache"], "no-cache"),
    ("RFC 9111 5.2.2.4", 200, ["cache-control: max-age=60, no-cache", 'etag: "a"'], (0, 0, 0)),
    ("RFC 9111 5.2.2.5", 200, ["cache-control: max-age=60, no-store"], "no-store"),
    ("RFC 9111 5.2.2.7", 200, ["cache-control: max-age=60, private"], "private"),
    ("RFC 9111 5.2.2.7", 200, ['cache-control: max-age=60, private="x"'], "private"),
    ("RFC 9111 5.2.2.10", 200, ["cache-control: max-age=60, s-maxage=9"], (9, 0, 0)),
    ("RFC 9111 5.2.2.10", 200, ["cache-control: max-age=60, s-maxage=0"], "no lifetime"),
    ("RFC 9111 4.3", 200, ["cache-control: max-age=0", 'etag: "a"'], (0, 0, 0)),
    ("RFC 9111 4.3", 200, ["cache-control: max-age=0", f"last-modified: {AGO[0]}"], (0, 0, 0)),
    ("RFC 9111 5.3", 200, [f"expires: {AGO[-300]}", f"date: {AGO[0]}"], (300, 0, 0)),
    ("RFC 9111 5.3", 200, [f"expires: {AGO[-300]}", "date: yesterday"], (300, 0, 0)),
    ("RFC 9111 5.3", 200, [f"expires: {AGO[0]}", f"date: {AGO[-60]}"], "no lifetime"),
    ("RFC 9111 5.3", 200, ["expires: 0"], "no lifetime"),
    ("RFC 9111 5.3", 200, ["expires: 0", "cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 5.3", 200, [f"expires: {AGO[-300]}", "cache-control: max-age=0"], "no lifetime"),
    ("RFC 9111 4.2.3", 200, ["cache-control: max-age=60", "age: 60"], "no lifetime"),
    ("RFC 9111 4.2.3", 200, ["cache-control: max-age=60", "age: 30"], (60, 0, 0)),
    ("RFC 9111 4.2.3", 200, ["cache-control: max-age=60", f"date: {AGO[1000]}"], "no lifetime"),
    ("RFC 9111 5.1", 200, ["cache-control: max-age=60", "age: 90, 0"], "no lifetime"),
    ("RFC 9111 5.1", 200, ["cache-control: max-age=60", "age: 0", "age: 90"], (60, 0, 0)),
    ("RFC 9111 5.1", 200, ["cache-control: max-age=60", "age: 90.0"], (60, 0, 0)),
    ("RFC 9111 5.1", 200, ["cache-control: max-age=60", "age: 99999999999"], "no lifetime"),
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[1000]}"], "no lifetime"),
    ("RFC 9111 7.3", 200, ["cache-control: max-age=60", "set-cookie: a=b"], "Set-Cookie"),
    ("RFC 5861 3, 4", 200,
     ["cache-control: max-age=60, stale-while-revalidate=5, stale-if-error=50"], (60, 5, 50)),
    ("RFC 5861 3", 200, ["cache-control: max-age=0, stale-while-revalidate=5"], (0, 5, 0)),
    ("RFC 9213 2.2", 200,
     ["cdn-cache-control: max-age=60", "cache-control: no-store"], (60, 0, 0)),
    ("RFC 9213 2.2", 200,
     ["cdn-cache-control: no-store", "cache-control: max-age=60"], "no-store"),
    ("RFC 9213 2.2", 200,
     ["cdn-cache-control: public", f"expires: {AGO[-300]}"], "no lifetime"),
    ("RFC 9213 2.1", 200, ["cdn-cache-control: max-age=60, &", "cache-control: no-store"],
     "no-store"),
    ("RFC 9213 2.1", 200, ['cdn-cache-control: max-age="60"', "cache-control: max-age=9"],
     (9, 0, 0)),
    ("RFC 9213 2.1", 200, ["cdn-cache-control: ", "cache-control: max-age=9"], (9, 0, 0)),
]  # fmt: skip
# As above, with the settings that store what the app did not ask for.
UNASKED = [
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[1000]}"], (100, 0, 0)),
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[1000]}", f"date: {AGO[30]}"], (97, 0, 0)),
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[10**6]}"], (86_400, 0, 0)),
    ("RFC 9111 4.2.2", 403, [f"last-modified: {AGO[1000]}"], "no lifetime"),
    ("RFC 9111 4.2.2", 403, [f"last-modified: {AGO[1000]}", "cache-control: public"],
     (100, 0, 0)),
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[1000]}", "cache-control: max-age=5"],
     (5, 0, 0)),
    ("RFC 9111 4.2.2", 200, [f"last-modified: {AGO[-60]}"], (0, 0, 0)),
    ("RFC 9111 4.2.2", 200, [], "no lifetime"),
    ("RFC 9111 7.3", 200, ["cache-control: max-age=60", "set-cookie: a=b"], (60, 0, 0)),
    ("RFC 9111 3", 503, ["cache-control: max-age=60"], (60, 0, 0)),
]  # fmt: skip
AUTHORIZED = [
    ("RFC 9111 3.5", 200, ["cache-control: max-age=60"], "Authorization"),
    ("RFC 9111 3.5", 200, ["cache-control: max-age=60, public"], (60, 0, 0)),
    ("RFC 9111 3.5", 200, ["cache-control: max-age=60, must-revalidate"], (60, 0, 0)),
    ("RFC 9111 3.5", 200, ["cache-control: s-maxage=60"], (60, 0, 0)),
    ("RFC 9111 3.5", 200, ["cdn-cache-control: max-age=60, public"], (60, 0, 0)),
]
PLAIN = Circumstances(received=NOW)
ALL_SWITCHES = PLAIN._replace(guess_freshness=True, store_set_cookie=True, store_errors=True)
# Each switch alone lets its own through.
WITHOUT_ONE = [
    (ALL_SWITCHES._replace(guess_freshness=False), "RFC 9111 4.2.2", 200,
     [f"last-modified: {AGO[1000]}"], "no lifetime"),
    (ALL_SWITCHES._replace(store_set_cookie=False), "RFC 9111 7.3", 200,
     ["cache-control: max-age=60", "set-cookie: a=b"], "Set-Cookie"),
    (ALL_SWITCHES._replace(store_errors=False), "RFC 9111 3", 503,
     ["cache-control: max-age=60"], "status 503"),
    (ALL_SWITCHES._replace(store_errors=False), "RFC 9111 3", 413,
     ["cache-control: max-age=60"], "status 413"),
]  # fmt: skip
CASES = [
    *((PLAIN, *case) for case in STORING),
    *((ALL_SWITCHES, *case) for case in UNASKED),
    *WITHOUT_ONE,
    *((PLAIN._replace(authorized=True), *case) for case in AUTHORIZED),
    (PLAIN._replace(delay_s=61), "RFC 9111 4.2.3", 200, ["cache-control: max-age=60"],
     "no lifetime"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "source", "status", "fields", "expected"), CASES)
def test_storing(
    at: Circumstances,
    source: str,
    status: int,
    fields: list[str],
    expected: tuple[int, int, int] | str,
) -> None:
    """A response is stored for as long as its source says, or not for the reason named."""
    headers = [
        (name.encode(), value.strip().encode())
        for name, _, value in (field.partition(":") for field in fields)
    ]
    decided = storing(status, headers, at)
    if isinstance(decided, Storing):
        assert (decided.ttl_s, decided.swr_s, decided.sie_s) == expected, source
    else:
        assert decided.reason == expected, source


def test_tags_of_all_fields_count() -> None:
    """Members of several `Cache-Tag` fields are one list; empty members are none (RFC 9110)."""
    decided = storing(
        200,
        [
            (b"cache-control", b"max-age=60"),
            (b"Cache-Tag", b"a, b ,,"),
            (b"cache-tag", b"c"),
        ],
        PLAIN,
    )
    assert isinstance(decided, Storing)
    assert decided.tags == ("a", "b", "c")


INF = float("inf")
# (what, now, expires, soft_since, lease_until, expected); created at 0, swr 10 s, sie 100 s
USES = [
    ("nothing against it", 50, 100, None, INF, Use.FRESH),
    ("at the end of its lifetime", 100, 100, None, INF, Use.REVALIDATE),
    ("within stale-while-revalidate", 109, 100, None, INF, Use.REVALIDATE),
    ("after stale-while-revalidate", 110, 100, None, INF, Use.ON_ERROR),
    ("after stale-if-error", 200, 100, None, INF, Use.NONE),
    ("soft invalidated now", 50, 100, 50, INF, Use.REVALIDATE),
    ("soft invalidated a while ago", 60, 100, 50, INF, Use.ON_ERROR),
    ("soft invalidated, and its lifetime ended since", 105, 100, 50, INF, Use.ON_ERROR),
    ("at the end of the lease", 50, 100, None, 50, Use.REVALIDATE),
    ("long after the lease", 60, 100, None, 50, Use.ON_ERROR),
    ("rendered after the lease had ended", 5, 100, None, -1000, Use.REVALIDATE),
    ("rendered a while after the lease had ended", 15, 100, None, -1000, Use.ON_ERROR),
]


@pytest.mark.parametrize(("what", "now", "expires", "soft_since", "lease_until", "expected"), USES)
def test_use(  # noqa: PLR0917  columns of the table
    what: str, now: float, expires: float, soft_since: float | None, lease_until: float,
    expected: Use,
) -> None:  # fmt: skip
    """A page is stale from the first reason on, and how long that is decides its use."""
    decided = use(
        now=now, created=0, expires=expires, soft_since=soft_since, lease_until=lease_until,
        swr_s=10, sie_s=100,
    )  # fmt: skip
    assert decided is expected, what
