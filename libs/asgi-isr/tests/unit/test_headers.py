"""Stored fields, what a 304 renews, and comparison of validators, as tables of cases."""

import pytest
from asgi_isr.http.fields import (
    cache_status,
    first,
    matches,
    members,
    stored_headers,
    updated_headers,
    values,
    without,
)
from asgi_isr.types import Headers
from hypothesis import given
from hypothesis import strategies as st


def fields(*lines: str) -> Headers:
    """Return header fields of `name: value` lines."""
    split = (line.partition(": ") for line in lines)
    return [(name.encode(), value.encode("latin-1")) for name, _, value in split]


@pytest.mark.parametrize(
    ("section", "received", "stored"),
    [
        ("3.1", ["Content-Type: a", "X-A: b"], ["content-type: a", "x-a: b"]),
        ("3.1: lines stay, in order", ["B: 2", "A: 1", "b: 3"], ["b: 2", "a: 1", "b: 3"]),
        ("3.1", ["Connection: close", "Keep-Alive: 1", "Upgrade: x", "TE: x"], []),
        ("3.1", ["Transfer-Encoding: chunked", "Trailer: x", "Proxy-Connection: x"], []),
        ("3.1", ["Proxy-Authenticate: x", "Proxy-Authentication-Info: x"], []),
        ("3.1", ["Proxy-Authorization: x"], []),
        ("3.1: nominated", ["Connection: X-A, x-b", "x-a: 1", "X-B: 2", "x-c: 3"], ["x-c: 3"]),
        ("3.1: nominated", ["connection: ,, X-A ,", "CONNECTION: x-b", "x-b: 2", "x-a: 1"], []),
        ("3.1: unknown fields stay", ["x-unknown: \xe9"], ["x-unknown: \xe9"]),
        ("one answer", ["Age: 1", "Cache-Status: x", "Content-Length: 1", "Server-Timing: x"], []),
        ("kept aside", ['ETag: "a"'], []),
        ("what stays", ["Date: x", "Expires: 0", "Last-Modified: x", "Cache-Control: x"],
         ["date: x", "expires: 0", "last-modified: x", "cache-control: x"]),
        ("what stays", ["Content-Encoding: gzip", "Vary: a", "Link: </a>; rel=x"],
         ["content-encoding: gzip", "vary: a", "link: </a>; rel=x"]),
    ],
)  # fmt: skip
def test_stored_headers(section: str, received: list[str], stored: list[str]) -> None:
    """All fields are kept but those of the connection, of this answer (RFC 9111), in lower case."""
    assert stored_headers(fields(*received)) == fields(*stored), section


@pytest.mark.parametrize(
    ("stored", "answered", "updated"),
    [
        (["x-a: 1"], [], ["x-a: 1"]),
        (["x-a: 1"], ["X-A: 2"], ["x-a: 2"]),
        (["x-a: 1", "x-b: 1"], ["x-c: 3"], ["x-a: 1", "x-b: 1", "x-c: 3"]),
        (["x-a: 1", "x-b: 1", "x-a: 2"], ["x-a: 3"], ["x-b: 1", "x-a: 3"]),
        (["x-a: 1"], ["x-a: 2", "X-A: 3"], ["x-a: 2", "x-a: 3"]),
        (["date: 1", "expires: 1"], ["Date: 2"], ["expires: 1", "date: 2"]),
        (["cache-control: a"], ["Cache-Control: b"], ["cache-control: b"]),
        (["content-type: a"], ["Content-Length: 0", "ETag: x", "Age: 9"], ["content-type: a"]),
        (["content-encoding: gzip"], ["Content-Encoding: br"], ["content-encoding: gzip"]),
        (["content-md5: a"], ["Content-MD5: b", "Content-Range: x"], ["content-md5: a"]),
        (["vary: a"], ["Vary: b"], ["vary: a"]),
        (["x-a: 1"], ["Connection: X-A", "X-A: 2"], ["x-a: 1"]),
        (["x-a: 1"], ["x-a: "], ["x-a: "]),
    ],
)  # fmt: skip
def test_updated_headers(stored: list[str], answered: list[str], updated: list[str]) -> None:
    """A 304 replaces each field that it brings, but none that tells of the body (section 3.2)."""
    assert updated_headers(fields(*stored), fields(*answered)) == fields(*updated)


@pytest.mark.parametrize(
    ("field", "etag", "same"),
    [
        (b'"a"', b'"a"', True), (b'W/"a"', b'"a"', True), (b'"a"', b'W/"a"', True),
        (b'W/"a"', b'W/"a"', True), (b'"b", "a"', b'"a"', True), (b'"b","a","c"', b'"a"', True),
        (b'"b" ,\tW/"a"', b'"a"', True), (b',, "a" ,', b'"a"', True), (b"*", b'"a"', True),
        (b" * ", b'"a"', True), (b'"a,b", "c"', b'"a,b"', True), (b'"c", W/"a,b"', b'"a,b"', True),
        (b'""', b'""', True), (b'"\xe9", "b"', b'"\xe9"', True), (b"a", b"a", True),
        (b'"b"', b'"a"', False), (b'"A"', b'"a"', False), (b'"a', b'"a"', False),
        (b"a", b'"a"', False), (b'"a,b"', b'"a"', False), (b'"a,b"', b'"b"', False),
        (b"", b'"a"', False), (b'"*"', b'"a"', False), (b"*, *", b'"a"', False),
        (b'"ab"', b'"a"', False), (b'"a "', b'"a"', False), (b'"a\\"', b'"a"', False),
        (b'"W/a"', b'"a"', False), (b"'a'", b'"a"', False),
    ],
)  # fmt: skip
def test_matches(field: bytes, etag: bytes, *, same: bool) -> None:
    """Any entity tag of the list, weak or not, confirms; commas may be part of one (8.8.3)."""
    assert matches(field, etag) is same


OPAQUE = st.text("ab,/W* \\", max_size=5).map(lambda text: f'"{text}"'.encode())


@given(st.lists(st.tuples(st.sampled_from([b"", b"W/"]), OPAQUE), max_size=5), OPAQUE)
def test_a_list_matches_what_it_names(listed: list[tuple[bytes, bytes]], etag: bytes) -> None:
    """A well-formed list matches an entity tag where, and only where, it names it."""
    field = b", ".join(weak + tag for weak, tag in listed)
    assert matches(field, etag) == (etag in [tag for _, tag in listed])
    assert matches(field, b"W/" + etag) == matches(field, etag)


def test_fields_are_found_whatever_their_case() -> None:
    """Values, lists, the first value and all others, by a name in lower case."""
    given_fields = fields("A: 1, 2", "b: 3", "a: ,4,")
    assert values(given_fields, b"a") == ["1, 2", ",4,"]
    assert members(given_fields, b"a") == ["1", "2", "4"]
    assert (first(given_fields, b"a"), first(given_fields, b"c")) == ("1, 2", None)
    assert without(fields("a: 1", "b: 2", "c: 3"), b"a", b"c") == fields("b: 2")


def test_cache_status() -> None:
    """The field is a list member with parameters (RFC 9211, section 2)."""
    assert cache_status("isr", "hit", "ttl=5") == (b"cache-status", b"isr; hit; ttl=5")
