"""Content codings as a table of cases (RFC 9110, sections 8.4.1 and 12.5.3)."""

import gzip
import random

import brotli
import pytest
from asgi_isr.http import codings
from asgi_isr.http.codings import ACCEPT_BYTES_MAX, BYTES_MIN, accepted, coded, worth_coding
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("field", "taken"),
    [
        (b"gzip", "gzip"), (b"br", "br"), (b"gzip, deflate, br, zstd", "br gzip"),
        (b"GZIP, Br", "br gzip"), (b"gzip,br", "br gzip"), (b"gzip\t, \tbr", "br gzip"),
        (b"gzip;q=1, br;q=0.5", "gzip br"), (b"gzip;q=0.5, br;q=1.000", "br gzip"),
        (b"gzip; q=0.5, br ; q=0.6", "br gzip"), (b"gzip;Q=0.5", "gzip"),
        (b"gzip;q=0", ""), (b"gzip;q=0.000, br", "br"), (b"gzip;q=0.001", "gzip"),
        (b"x-gzip", "gzip"), (b"X-GZIP;q=0.5", "gzip"), (b"x-br", ""), (b"x-x-gzip", ""),
        (b"*", "br gzip"), (b"*;q=0.1", "br gzip"), (b"*;q=0", ""), (b"br;q=0, *", "gzip"),
        (b"gzip, *;q=0", "gzip"), (b"gzip;q=0.2, *;q=0.9", "br gzip"),
        (b"identity", ""), (b"identity;q=0", ""), (b"identity;q=0, gzip", "gzip"),
        (b"identity, gzip;q=0.5", ""), (b"identity;q=0.5, gzip;q=0.5", "gzip"),
        (b"identity;q=0.5, gzip;q=0.4, br;q=0.6", "br"), (b"identity;q=0, *;q=0", ""),
        (b"", ""), (b",", ""), (b" , ,", ""), (b", gzip ,,", "gzip"),
        (b"deflate, zstd, compress", ""), (b"gzipped", ""), (b"gz", ""), (b"gzip br", ""),
        # A weight that cannot be read counts as 0.
        (b"gzip;q=2", ""), (b"gzip;q=-1", ""), (b"gzip;q=1.1", ""), (b"gzip;q=0.1234", ""),
        (b"gzip;q=nan", ""), (b"gzip;q=", ""), (b"gzip;q=.5", ""), (b"gzip;level=9", ""),
        (b"gzip;q=1;q=0.5", ""), (b"gzip;q=1e0", ""), (b'"gzip"', ""), (b"\xe9, gzip", "gzip"),
    ],
)  # fmt: skip
def test_accepted(field: bytes, taken: str) -> None:
    """The codings that a client prefers to none come by weight, then the smaller body first."""
    assert accepted(field) == tuple(taken.split())
    assert accepted(field) == tuple(taken.split())  # as remembered


def test_long_field_is_not_read() -> None:
    """What no client has to say at such length is answered without a coding."""
    assert accepted(b"gzip".ljust(ACCEPT_BYTES_MAX)) == ("gzip",)
    assert accepted(b"gzip".ljust(ACCEPT_BYTES_MAX + 1)) == ()


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    """However many and however long fields clients send, little of them is kept."""
    for number in range(3000):
        accepted(b"gzip, x%d" % number)
        accepted(b"gzip, %d" % number + b"x" * 64_000)
    kept = codings._remembered
    assert sum(map(len, kept)) <= codings._REMEMBERED_MAX * ACCEPT_BYTES_MAX
    assert len(kept) <= codings._REMEMBERED_MAX
    assert all(len(field) <= ACCEPT_BYTES_MAX for field in kept)


@given(st.binary(max_size=60) | st.text("gzipbr*;q=01.,x- identy", max_size=60).map(str.encode))
def test_no_field_is_an_error(field: bytes) -> None:
    """Whatever arrives, the answer is some of the codings that are made, each once."""
    taken = accepted(field)
    assert set(taken) <= set(codings.MADE)
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize(
    ("content_type", "worth"),
    [
        ("text/html; charset=utf-8", True), ("TEXT/HTML", True), ("text/plain", True),
        ("application/json", True), ("application/ld+json", True), ("application/xml", True),
        ("application/vnd.api-x.y+json;v=1", True), ("image/svg+xml", True),
        ("application/wasm", True), ("application/manifest+json", True),
        ("image/png", False), ("video/mp4", False), ("application/zip", False), ("", False),
        ("application/octet-stream", False), ("x-text/html", False), ("font/woff2", False),
    ],
)  # fmt: skip
def test_worth_coding(content_type: str, *, worth: bool) -> None:
    """Text gets smaller by a coding, what is packed already does not, nor does a small body."""
    assert worth_coding(content_type, BYTES_MIN) is worth
    assert not worth_coding(content_type, BYTES_MIN - 1)


def test_coded() -> None:
    """Each coding gives the body back; one that makes it no smaller is left out."""
    body = b"exchange rates " * 200
    made = coded(body)
    assert brotli.decompress(made["br"]) == body == gzip.decompress(made["gzip"])
    assert made == coded(body)  # the same bytes each time: validators stay
    assert coded(b"") == {}
    assert coded(random.Random(1).randbytes(2000)) == {}
