"""Range requests as a table of cases (RFC 9110, section 14)."""

from typing import Literal

import pytest
from asgi_isr.http.ranges import Part, content_range, part
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("section", "value", "size", "asked"),
    [
        ("14.1.2", b"bytes=0-4", 10, (0, 4)),
        ("14.1.2", b"bytes=5-5", 10, (5, 5)),
        ("14.1.2", b"bytes=5-", 10, (5, 9)),
        ("14.1.2", b"bytes=0-", 10, (0, 9)),
        ("14.1.2: to the end", b"bytes=5-99", 10, (5, 9)),
        ("14.1.2", b"bytes=-3", 10, (7, 9)),
        ("14.1.2: more than there is", b"bytes=-99", 10, (0, 9)),
        ("14.1.2", b"bytes=000-004", 10, (0, 4)),
        ("14.1: case", b"BYTES=0-4", 10, (0, 4)),
        ("14.2: space", b"bytes= 0-4\t", 10, (0, 4)),
        ("14.1.2: not satisfiable", b"bytes=10-", 10, False),
        ("14.1.2: not satisfiable", b"bytes=10-20", 10, False),
        ("14.1.2: not satisfiable", b"bytes=-0", 10, False),
        ("14.1.2: not satisfiable", b"bytes=0-", 0, False),
        ("14.1.2: not satisfiable", b"bytes=-0", 0, False),
        ("14.1.2: the end of nothing", b"bytes=-5", 0, None),
        ("14.1.2: last before first", b"bytes=5-4", 10, None),
        ("14.1.2: last before first", b"bytes=50-40", 10, None),
        ("14.2: several", b"bytes=0-1,3-4", 10, None),
        ("14.2: several", b"bytes=0-1, -1", 10, None),
        ("14.1: another unit", b"pages=0-4", 10, None),
        ("14.1.1", b"bytes=-", 10, None),
        ("14.1.1", b"bytes=", 10, None),
        ("14.1.1", b"bytes", 10, None),
        ("14.1.1", b"", 10, None),
        ("14.1.1", b"bytes =0-4", 10, None),
        ("14.1.1", b"bytes=0 -4", 10, None),
        ("14.1.1", b"bytes=0-4-5", 10, None),
        ("14.1.1", b"bytes=--5", 10, None),
        ("14.1.1", b"bytes=+1-4", 10, None),
        ("14.1.1", b"bytes=0x1-4", 10, None),
        ("14.1.1", b"bytes=1.0-4", 10, None),
        ("14.1.1", "bytes=\u0660-4".encode(), 10, None),
        ("14.1.1", b"bytes=0-4\n", 10, None),
        ("bound: 19 digits", b"bytes=0-9999999999999999999", 10, None),
        ("bound: 18 digits", b"bytes=0-999999999999999999", 10, (0, 9)),
        ("bound: 18 digits", b"bytes=999999999999999999-", 10, False),
    ],
)  # fmt: skip
def test_parts(
    section: str, value: bytes, size: int, asked: tuple[int, int] | Literal[False] | None
) -> None:
    """One range of bytes is a part, one beyond the body is 416, all else is the whole."""
    found = part(value, size)
    assert found == asked, section
    assert found is not None or asked is None


@given(
    st.from_regex(rb"bytes=[ ]?[0-9]{0,20}-[0-9]{0,20}", fullmatch=True) | st.binary(max_size=30),
    st.integers(0, 2000),
)
def test_parts_lie_within_the_body(value: bytes, size: int) -> None:
    """Whatever is asked, a part has at least one byte and none outside the body."""
    found = part(value, size)
    if found:
        assert 0 <= found.first <= found.last < size
        body = bytes(size)
        assert len(body[found.first : found.last + 1]) == found.last + 1 - found.first


def test_content_range() -> None:
    """A 206 says which bytes of how many, a 416 how many there are (section 14.4)."""
    assert content_range(Part(0, 4), 10) == (b"content-range", b"bytes 0-4/10")
    assert content_range(None, 10) == (b"content-range", b"bytes */10")
