"""Pure rules: which requests are forwarded, and which of them the cache may see."""

import re
from urllib.parse import quote

from asgi_isr.proxy.errors import ProxyError, RequestRefusedError
from asgi_isr.proxy.fields import listed, loops
from asgi_isr.types import Headers, Scope

# A host and port (RFC 3986, section 3.2.2): nothing in it can reach into a path.
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_TARGET = re.compile(rb"/[!-~\x80-\xff]*")


def refusal(scope: Scope, *, name: str) -> ProxyError | None:
    """Say why a request is not forwarded, or return None."""
    headers: Headers = scope["headers"]
    method: str = scope["method"]
    hosts = [value for field, value in headers if field == b"host"]
    # RFC 9112, section 3.2: the server must refuse these.
    if len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)):
        return RequestRefusedError(400, "The Host field is repeated or invalid")
    if method == "CONNECT":
        return RequestRefusedError(501, "CONNECT is not forwarded")
    if any(option.lower() == b"websocket" for option in listed(headers, b"upgrade")):
        return RequestRefusedError(501, "WebSockets are not forwarded")
    codings = [value.strip().lower() for field, value in headers if field == b"transfer-encoding"]
    if codings not in ([], [b"chunked"]):
        return RequestRefusedError(501, "Only the transfer coding chunked is supported")
    lengths = [value for field, value in headers if field == b"content-length"]
    if len(lengths) + len(codings) > 1 or not all(map(bytes.isdigit, lengths)):
        return RequestRefusedError(
            400, "The length of the content is given twice or is not a number"
        )
    path = raw_path(scope)
    if not _TARGET.fullmatch(path) and not (method == "OPTIONS" and path == b"*"):
        return RequestRefusedError(400, "The request target is not an absolute path")
    if loops(headers, name):
        return ProxyError(502, "proxy_loop_detected", "The upstream is this proxy", "loop in Via")
    return None


def cacheable(scope: Scope, bypass: tuple[str, ...]) -> bool:
    """Say whether the cache may see a request that is forwarded.

    Not a GET or HEAD with content: the cache renders with none, and RFC 9110 section 9.3.1 gives
    it no meaning. Nor one that reaches a path to be bypassed in another spelling.
    """
    headers: Headers = scope["headers"]
    empty = all(value.strip(b"0") == b"" for name, value in headers if name == b"content-length")
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    if scope["method"] in {"GET", "HEAD"} and (chunked or not empty):
        return False
    path: str = scope["path"]  # decoded, where the cache sees the path as it was sent
    segments = path.split("/")
    return not path.startswith(bypass) and "." not in segments and ".." not in segments


def raw_path(scope: Scope) -> bytes:
    """Return the path as the client sent it, percent-encoded."""
    raw: bytes | None = scope.get("raw_path")
    return raw if raw is not None else quote(scope["path"]).encode()
