"""Storability, lifetimes and staleness as tables of cases with their source."""

import pytest
from asgi_isr.policy import Storing, Use, storing, use

# (source, status, fields, expected: (ttl, swr, sie) or the reason against)
STORING = [
    ("RFC 9111 3", 200, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 3", 200, ["cache-control: public"], "no lifetime"),
    ("RFC 9111 3", 200, [], "no lifetime"),
    ("RFC 9111 3", 404, ["cache-control: max-age=60"], (60, 0, 0)),
    ("RFC 9111 3", 206, ["cache-control: max-age=60"], "status 206"),
    ("RFC 9111 3", 302, ["cache-control: max-age=60"], "status 302"),
    ("RFC 9111 3", 500, ["cache-control: max-age=60"], "status 500"),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: accept-encoding"], (60, 0, 0)),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: Accept-Encoding, X"], "Vary"),
    ("RFC 9111 4.1", 200, ["cache-control: max-age=60", "vary: *"], "Vary"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=60, max-age=90"], (60, 0, 0)),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=sixty"], "no lifetime"),
    ("RFC 9111 4.2.1", 200, ["cache-control: max-age=-5"], "no lifetime"),
    ("RFC 9111 1.2.2", 200, ["cache-control: max-age=99999999999"], (2**31, 0, 0)),
    ("RFC 9111 5.2.2.1", 200, ["cache-control: MAX-AGE=60"], (60, 0, 0)),
    ("RFC 9111 5.2.2.1", 200, ['cache-control: max-age="60"'], (60, 0, 0)),
    ("RFC 9111 5.2.2.2", 200,
     ["cache-control: max-age=60, must-revalidate, stale-while-revalidate=9"], (60, 0, 0)),
    ("RFC 9111 5.2.2.4", 200, ["cache-control: max-age=60, no-cache"], "no-cache"),
    ("RFC 9111 5.2.2.5", 200, ["cache-control: max-age=60, no-store"], "no-store"),
    ("RFC 9111 5.2.2.7", 200, ["cache-control: max-age=60, private"], "private"),
    ("RFC 9111 5.2.2.10", 200, ["cache-control: max-age=60, s-maxage=9"], (9, 0, 0)),
    ("RFC 9111 5.2.2.10", 200, ["cache-control: max-age=60, s-maxage=0"], "no lifetime"),
    ("RFC 9111 7.3", 200, ["cache-control: max-age=60", "set-cookie: a=b"], "Set-Cookie"),
    ("RFC 5861", 200,
     ["cache-control: max-age=60, stale-while-revalidate=5, stale-if-error=50"], (60, 5, 50)),
    ("RFC 9213 2.2", 200,
     ["cdn-cache-control: max-age=60", "cache-control: no-store"], (60, 0, 0)),
    ("RFC 9213 2.2", 200,
     ["cdn-cache-control: no-store", "cache-control: max-age=60"], "no-store"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "status", "fields", "expected"), STORING)
def test_storing(
    source: str, status: int, fields: list[str], expected: tuple[int, int, int] | str
) -> None:
    """A response is stored for as long as its source says, or not for the reason named."""
    headers = [
        (name.encode(), value.strip().encode())
        for name, _, value in (field.partition(":") for field in fields)
    ]
    decided = storing(status, headers)
    if isinstance(decided, Storing):
        assert (decided.ttl_s, decided.swr_s, decided.sie_s) == expected, source
    else:
        assert decided == expected, source


def test_tags_of_all_fields_count() -> None:
    """Members of several `Cache-Tag` fields are one list; empty members are none (RFC 9110)."""
    decided = storing(
        200,
        [
            (b"cache-control", b"max-age=60"),
            (b"Cache-Tag", b"a, b ,,"),
            (b"cache-tag", b"c"),
        ],
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
