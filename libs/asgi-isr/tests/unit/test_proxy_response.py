"""Reading a response does not depend on where its bytes were cut."""

import random

import pytest
from asgi_isr.proxy.response import HEAD_BYTES_MAX, ResponseReader

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nX: a \t\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nX: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;e=1\r\nhe\r\n3\r\nllo\r\n0\r\nY: b\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\nZ: 1\r\n\r\nHTTP/1.1 103 Early\r\n\r\n"
    b"HTTP/1.1 200\r\nX: a\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("seed", range(20))
def test_any_cut_gives_the_same(name: str, seed: int) -> None:
    """Head and content are the same however the network cuts the bytes."""
    chance = random.Random(seed)
    reader, data = ResponseReader(head_only=False), RESPONSES[name]
    assert not reader.heard
    while data:
        assert not reader.complete
        size = chance.randint(1, 1 + seed)
        reader.feed(data[:size])
        data = data[size:]
    assert reader.error is None
    assert reader.head is not None
    assert reader.head.status == 200
    assert reader.head.fields[0] == (b"x", b"a")
    assert (bytes(reader.content), reader.complete, reader.reusable) == (b"hello", True, True)
    assert reader.invited is (name == "interim")


@pytest.mark.parametrize("name", RESPONSES)
def test_no_part_is_taken_for_the_whole(name: str) -> None:
    """A response whose connection ends early is never complete."""
    data = RESPONSES[name]
    for size in range(len(data)):
        reader = ResponseReader(head_only=False)
        reader.feed(data[:size])
        reader.end()
        assert not reader.complete


@pytest.mark.parametrize(
    ("head", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello", False),
    ],
)
def test_content_that_ends_with_the_connection(head: bytes, complete: bool) -> None:  # noqa: FBT001  a case
    """Without a length the end of the connection is that of the content (RFC 9112, 6.3)."""
    reader = ResponseReader(head_only=False)
    reader.feed(head)
    assert not reader.complete
    reader.end()
    assert (bytes(reader.content), reader.complete, reader.reusable) == (b"hello", complete, False)


@pytest.mark.parametrize(
    ("line", "reusable"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", True),
        (b"HTTP/1.1 204 No\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 204 No\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_reuse(line: bytes, reusable: bool) -> None:  # noqa: FBT001  a case
    """A connection is kept when nothing forbids it, and nothing followed the response."""
    reader = ResponseReader(head_only=False)
    reader.feed(line)
    assert (reader.complete, reader.reusable) == (True, reusable)


def test_content_without_end_is_no_head() -> None:
    """Content may be longer than a head may; only what is none is bounded."""
    reader = ResponseReader(head_only=False)
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10):
        reader.feed(b"x" * HEAD_BYTES_MAX)
    assert reader.error is None
    assert len(reader.content) == 10 * HEAD_BYTES_MAX
