"""A page to bytes and back. The first byte is the format's version; never pickle."""

import gzip
import hashlib

import msgspec

from asgi_isr.errors import CorruptPageError
from asgi_isr.headers import stored_headers, values
from asgi_isr.keys import page_tags
from asgi_isr.model import GZIP, IDENTITY, Headers, Page
from asgi_isr.policy import Storing

FORMAT_VERSION = b"\x01"
_COMPRESSED_BYTES_MIN = 860  # below that a gzip body saves no packet
_TEXT = ("text/", "application/json", "application/xml", "image/svg", "application/javascript")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Page)


def encode(page: Page) -> bytes:
    """Return the bytes of `page` for the shared store."""
    return FORMAT_VERSION + _encoder.encode(page)


def decode(data: bytes, key: str) -> Page:
    """Read what the shared store gave for `key`.

    Raises `CorruptPageError` for another version, damaged bytes, or the page of another key.
    """
    if data[:1] != FORMAT_VERSION:
        raise CorruptPageError(f"format {data[:1]!r} is not {FORMAT_VERSION!r}")
    try:
        page = _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptPageError(str(error)) from error
    if page.key != key or IDENTITY not in page.bodies:
        raise CorruptPageError(f"holds {page.key!r}, not {key!r}")
    return page


def build(
    *, key: str, path: str, status: int, headers: Headers, body: bytes, rule: Storing,
    fence: int, now: float,
) -> Page:  # fmt: skip
    """Make a page of a rendered response: validator and compressed body, once for all readers."""
    kept = stored_headers(headers)
    bodies = {IDENTITY: body}
    content_type = next(iter(values(headers, b"content-type")), "")
    coded = any(name == b"content-encoding" for name, _ in kept)
    if len(body) >= _COMPRESSED_BYTES_MIN and content_type.startswith(_TEXT) and not coded:
        bodies[GZIP] = gzip.compress(body, compresslevel=6, mtime=0)
        if not any(name == b"vary" for name, _ in kept):
            kept.append((b"vary", b"Accept-Encoding"))
    given = next(iter(values(headers, b"etag")), "")
    if given.startswith('"'):
        etag = given.strip('"').encode("latin-1")
    else:
        etag = hashlib.blake2b(body, digest_size=12).hexdigest().encode()
    return Page(
        key=key,
        status=status,
        headers=kept,
        etag=etag,
        bodies=bodies,
        tags=page_tags(path, rule.tags),
        fence=fence,
        created=now,
        ttl_s=rule.ttl_s,
        swr_s=rule.swr_s,
        sie_s=rule.sie_s,
    )
