"""What goes wrong between a client and the upstream, in the words of `Proxy-Status` (RFC 9209)."""

from asgi_isr.errors import IsrError

_STATUS = {
    "connection_limit_reached": 503,
    "connection_read_timeout": 504,
    "connection_timeout": 504,
    "connection_write_timeout": 504,
    "http_response_timeout": 504,
}


class ProxyError(IsrError):
    """A request that the proxy answers itself.

    `status` is that of the answer, `error` a type of RFC 9209 section 2.3, `title` what a client is
    told. The message of the exception is for the log.
    """

    def __init__(self, status: int, error: str, title: str, reason: str) -> None:
        super().__init__(f"{error}: {reason}")
        self.status = status
        self.error = error
        self.title = title


class RequestRefusedError(ProxyError):
    """A request that is not forwarded, because it is broken or has no clear meaning."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(status, "http_request_error", title, title)


class UpstreamError(ProxyError):
    """The upstream gave no whole answer: 504 where it was too slow, 503 when busy, else 502."""

    def __init__(self, error: str, reason: str) -> None:
        title = "The upstream sent no valid response"
        super().__init__(_STATUS.get(error, 502), error, title, reason)


class ClientGoneError(IsrError):
    """The client closed its connection; nobody reads the answer."""
