"""Which requests are forwarded, and which of them the cache may see: tables of cases."""

from typing import Any

import pytest
from asgi_isr.proxy.admission import cacheable, refusal
from asgi_isr.proxy.errors import RequestRefusedError
from asgi_isr.proxy.upstream import head_bytes


def scope(*fields: tuple[str, str], method: str = "GET", target: str = "/", path: str = "/") -> Any:
    """Return the scope of a request."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    return {"method": method, "path": path, "raw_path": target.encode(), "headers": headers}


REFUSED = {
    "two-hosts": (scope(("host", "a"), ("host", "a")), 400),
    "host-with-path": (scope(("host", "a/b")), 400),
    "host-with-user": (scope(("host", "u@a")), 400),
    "host-with-space": (scope(("host", "a b")), 400),
    "host-not-ascii": (scope(("host", "\xe9")), 400),
    "connect": (scope(method="CONNECT", target=""), 501),
    "websocket": (scope(("upgrade", "h2c, WebSocket")), 501),
    "coding": (scope(("transfer-encoding", "gzip, chunked")), 501),
    "two-codings": (scope(("transfer-encoding", "chunked"), ("transfer-encoding", "x")), 501),
    "two-lengths": (scope(("content-length", "1"), ("content-length", "1")), 400),
    "length-and-chunks": (scope(("content-length", "1"), ("transfer-encoding", "chunked")), 400),
    "length-of-letters": (scope(("content-length", "0x1")), 400),
    "no-path": (scope(target="a"), 400),
    "star": (scope(target="*"), 400),
    "space-in-target": (scope(target="/a b"), 400),
    "loop": (scope(("via", ", ".join(["1.1 isr"] * 4))), 502),
}
ADMITTED = {
    "plain": scope(),
    "host": scope(("host", "shop.test:8080")),
    "host-of-ipv6": scope(("host", "[::1]:8080")),
    "empty-host": scope(("host", "")),
    "chunked": scope(("transfer-encoding", "Chunked"), method="POST"),
    "h2c": scope(("upgrade", "h2c")),
    "star": scope(method="OPTIONS", target="*"),
    "not-ascii": scope(target="/é"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """A request without one clear meaning is refused with this status."""
    request, status = REFUSED[name]
    refused = refusal(request, name="isr")
    assert refused is not None
    assert refused.status == status


@pytest.mark.parametrize("name", ADMITTED)
def test_admitted(name: str) -> None:
    """A request with one clear meaning is forwarded."""
    assert refusal(ADMITTED[name], name="isr") is None


@pytest.mark.parametrize(
    ("request_scope", "expected"),
    [
        (scope(path="/a"), True),
        (scope(("content-length", "0"), path="/a"), True),
        (scope(("content-length", "1"), path="/a"), False),
        (scope(("transfer-encoding", "chunked"), path="/a"), False),
        (scope(path="/api/x", target="/%61pi/x"), False),
        (scope(path="/a/../api/x"), False),
        (scope(path="/./a"), False),
        (scope(path="/..a/b."), True),
    ],
)
def test_cacheable(request_scope: Any, expected: bool) -> None:  # noqa: FBT001  a case
    """The cache sees no request with content, and none to a path that might be another."""
    assert cacheable(request_scope, ("/api/",)) is expected


@pytest.mark.parametrize(
    ("path", "query", "value"),
    [
        (b"/a\r\nX: y", b"", b""),
        (b"/a b", b"", b""),
        (b"/a", b"b\nc", b""),
        (b"/a", b"", b"x\r\ny: z"),
        (b"/a", b"", b"x\ny"),
        (b"/a", b"", b"x\ry"),
    ],
)
def test_head_holds_one_request(path: bytes, query: bytes, value: bytes) -> None:
    """Nothing in a request can begin a line of its own."""
    with pytest.raises(RequestRefusedError):
        head_bytes("GET", path, query, [(b"x", value)])


def test_head() -> None:
    """The head is written as RFC 9112 has it."""
    head = head_bytes("M-SEARCH", b"/a%20b", b"c=%20", [(b"host", b"x"), (b"a", b"\xff")])
    assert head == b"M-SEARCH /a%20b?c=%20 HTTP/1.1\r\nhost: x\r\na: \xff\r\n\r\n"
