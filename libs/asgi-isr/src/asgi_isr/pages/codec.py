"""A page to bytes and back, behind the format's version and a checksum; never pickle."""

import zlib
from typing import TypeVar

import msgspec

from asgi_isr.errors import CorruptPageError
from asgi_isr.http.codings import IDENTITY
from asgi_isr.pages.page import Page, Varied

FORMAT_VERSION = b"\x03"
_PAGE, _VARIED = b"p", b"v"
_HEAD_BYTES = 5  # version, CRC-32 of the rest

_encoder = msgspec.msgpack.Encoder()
_pages = msgspec.msgpack.Decoder(Page)
_varied = msgspec.msgpack.Decoder(Varied)


def encode(stored: Page | Varied) -> bytes:
    """Return the bytes of what stands at a key of the shared store."""
    kind = _PAGE if isinstance(stored, Page) else _VARIED
    rest = kind + _encoder.encode(stored)
    return FORMAT_VERSION + zlib.crc32(rest).to_bytes(4, "big") + rest


def decode(data: bytes, key: str) -> Page | Varied:
    """Read what the shared store gave for `key`.

    Raises `CorruptPageError` for another version, damaged bytes, or the page of another key.
    """
    if data[:1] != FORMAT_VERSION:
        raise CorruptPageError(f"format {data[:1]!r} is not {FORMAT_VERSION!r}")
    rest = memoryview(data)[_HEAD_BYTES:]
    if zlib.crc32(rest).to_bytes(4, "big") != data[1:_HEAD_BYTES]:
        raise CorruptPageError("the checksum does not match")
    stored: Page | Varied
    try:
        stored = _varied.decode(rest[1:]) if rest[:1] == _VARIED else _pages.decode(rest[1:])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise CorruptPageError(str(error)) from error
    if stored.key != key or (isinstance(stored, Page) and IDENTITY not in stored.bodies):
        raise CorruptPageError(f"holds {stored.key!r}, not {key!r}")
    return one_of_each(stored) if isinstance(stored, Page) else stored


T = TypeVar("T")
_SHARED_MAX = 4096
_SHARED_CHARS_MAX = 1024


class _Shared(dict[T, T]):
    """One object for each value that thousands of pages repeat.

    `sys.intern` would keep its strings for ever on Python 3.12.
    """

    def one(self, value: T) -> T:
        if len(self) >= _SHARED_MAX:
            self.clear()  # those that are repeated come back, the others made it full
        return self.setdefault(value, value)


_fields: _Shared[tuple[bytes, bytes]] = _Shared()
_tags: _Shared[str] = _Shared()


def _one_field(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    long = len(field[0]) + len(field[1]) > _SHARED_CHARS_MAX
    return field if long else _fields.one(field)


def one_of_each(page: Page) -> Page:
    """Return `page` with the one object for each tag and field that pages share."""
    headers = [_one_field(field) for field in page.headers]
    return msgspec.structs.replace(page, headers=headers, tags=tuple(map(_tags.one, page.tags)))
