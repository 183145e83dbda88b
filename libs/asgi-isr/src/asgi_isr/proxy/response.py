"""Reads one response of the upstream out of bytes: strict, bounded, without input or output.

llhttp, in its strict mode, parses (RFC 9112); this class adds what it leaves to its user: bounds,
framing by the end of the connection, HEAD, and what must not be forwarded.
"""

from typing import NamedTuple

import httptools

from asgi_isr.proxy.errors import UpstreamError
from asgi_isr.proxy.fields import listed
from asgi_isr.types import Headers

HEAD_BYTES_MAX = 64 * 1024  # of a header section, a trailer section, or all before the next content
FIELDS_MAX = 256
_CONTINUE = 100
_FINAL = 200
_NO_CONTENT = frozenset({204, 304})


class Head(NamedTuple):
    """The start of a final response; names of fields in lower case."""

    status: int
    version: str
    fields: Headers


class ResponseReader:
    """One response, as far as it has come.

    `head` is None until the final response begins; `content` holds what its user has not taken yet;
    `complete` says that no more comes. `error` is what is wrong with it. `heard`: a byte of it
    came. `invited`: 100 (Continue) came. `reusable`: its connection may carry a further exchange.
    """

    def __init__(self, *, head_only: bool) -> None:
        self.head: Head | None = None
        self.content = bytearray()
        self.complete = False
        self.error: UpstreamError | None = None
        self.heard = False
        self.invited = False
        self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._fields: Headers = []
        self._field_bytes = 0
        self._silent_bytes = 0  # since the last content
        self._informational = False
        self._until_close = False

    def feed(self, data: bytes) -> None:
        """Take bytes; call it no more once the response is `complete` or has an `error`."""
        self.heard = True
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("http_upgrade_failed", "101 (Switching Protocols) without being asked")
        except httptools.HttpParserError as error:
            self._refuse("http_protocol_error", str(error))
        if self._silent_bytes > HEAD_BYTES_MAX:
            self._refuse("http_response_header_section_size", f"over {HEAD_BYTES_MAX} bytes")

    def end(self) -> None:
        """Take the end of the connection, which may be that of the content."""
        self.reusable = False
        if self.head is not None and self._until_close and self.error is None:
            self.complete = True

    def _refuse(self, error: str, reason: str) -> None:
        """Note what is wrong first, unless the response is whole: what follows is not of it."""
        self.reusable = False
        if not self.complete and self.error is None:
            self.error = UpstreamError(error, reason)

    # -- the parser's word ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice a second response."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; those of a trailer section are dropped (RFC 9110, section 6.5.1)."""
        if self.head is not None:
            return
        self._field_bytes += len(name) + len(value)
        if len(self._fields) >= FIELDS_MAX or self._field_bytes > HEAD_BYTES_MAX:
            self._refuse("http_response_header_section_size", f"over {FIELDS_MAX} fields or bytes")
        elif self.error is None:
            self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Judge the head: an informational one is dropped, a final one begins the response."""
        if self.error is not None or self.head is not None:
            return
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        fields, self._fields = self._fields, []
        if version not in {"1.0", "1.1"} or status < _CONTINUE:
            self._refuse("http_protocol_error", f"HTTP/{version} {status}")
        elif status < _FINAL:
            self._informational = True
            self.invited = self.invited or status == _CONTINUE
        else:
            self._begin(Head(status, version, fields))

    def _begin(self, head: Head) -> None:
        codings = [coding.lower() for coding in listed(head.fields, b"transfer-encoding")]
        # We understand chunked only and say so by sending no TE (RFC 9112, sections 6.1 and 7).
        if codings not in ([], [b"chunked"]) or (codings and head.version == "1.0"):
            self._refuse("http_response_transfer_coding", repr(codings)[:100])
            return
        bare = self._head_only or head.status in _NO_CONTENT
        framed = codings or any(name == b"content-length" for name, _ in head.fields)
        self._until_close = not framed and not bare
        options = {option.lower() for option in listed(head.fields, b"connection")}
        self.reusable = head.version == "1.1" and not self._until_close and b"close" not in options
        self.head = head
        self.complete = self._head_only

    def on_body(self, data: bytes) -> None:
        """Take content."""
        self._silent_bytes = 0
        if self.complete:
            self.reusable = False  # content of a HEAD
        elif self.error is None:
            self.content += data

    def on_message_complete(self) -> None:
        """Take the end of an informational or of the final response."""
        if self._informational:
            self._informational = False
        elif self.head is not None and self.error is None:
            self.complete = True
