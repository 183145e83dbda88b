"""Content codings: which a client takes (RFC 9110, section 12.5.3), and bodies in them."""

import gzip
import re
from collections.abc import Sequence
from typing import Protocol, cast

IDENTITY = ""  # the content coding of a body that is not coded
GZIP = "gzip"
BROTLI = "br"

BYTES_MIN = 860  # below that a coded body saves no packet
_GZIP_LEVEL = 6
_BROTLI_QUALITY = 5  # as much time as gzip's 6, and a smaller body
ACCEPT_BYTES_MAX = 1024  # a longer `Accept-Encoding` is not read: no coding is always right
_REMEMBERED_MAX = 512
_X_GZIP = "x-gzip"  # the old name of gzip (section 8.4.1.3)
_TEXT = re.compile(
    r"text/|application/(?:[\w.-]+\+)?(?:json|xml|javascript|wasm|manifest\+json)|image/svg\+xml",
    re.IGNORECASE,
)
_QUALITY = re.compile(rb"[ \t]*q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)


class _Compress(Protocol):
    def __call__(self, data: bytes, *, quality: int) -> bytes: ...


def _brotli() -> _Compress | None:
    """Return Brotli's `compress` where the extra `[brotli]` is installed."""
    try:
        import brotli  # noqa: PLC0415
    except ImportError:
        return None
    return cast("_Compress", brotli.compress)


_BROTLI_COMPRESS = _brotli()
# What is made of each page, best first: that is also the order where a client has no preference.
MADE: tuple[str, ...] = (BROTLI, GZIP) if _BROTLI_COMPRESS is not None else (GZIP,)


def worth_coding(content_type: str, size: int) -> bool:
    """Say whether a body of `size` bytes of this type gets smaller by a coding."""
    return size >= BYTES_MIN and _TEXT.match(content_type) is not None


def coded(body: bytes) -> dict[str, bytes]:
    """Return the body in each coding that makes it smaller."""
    bodies: dict[str, bytes] = {}
    if _BROTLI_COMPRESS is not None:
        bodies[BROTLI] = _BROTLI_COMPRESS(body, quality=_BROTLI_QUALITY)
    bodies[GZIP] = gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0)
    return {coding: made for coding, made in bodies.items() if len(made) < len(body)}


def _weights(accept_encoding: bytes) -> dict[str, float]:
    weights: dict[str, float] = {}
    for member in accept_encoding.lower().split(b","):
        coding, _, parameters = member.partition(b";")
        name = coding.strip().decode("latin-1")
        if not name:
            continue
        if name == _X_GZIP:
            name = GZIP
        found = _QUALITY.fullmatch(parameters) if parameters else None
        weights[name] = (float(found[1]) if found else 0.0) if parameters else 1.0
    return weights


def _ranked(accept_encoding: bytes, made: Sequence[str]) -> tuple[str, ...]:
    weights = _weights(accept_encoding)
    default = weights.get("*", 0.0)
    accepted = [(weights.get(coding, default), coding) for coding in made]
    identity = weights.get("identity", 0.0)  # only a weight of its own puts it before a coding
    ranked = sorted(accepted, key=lambda one: -one[0])
    return tuple(coding for weight, coding in ranked if weight > 0 and weight >= identity)


_remembered: dict[bytes, tuple[str, ...]] = {}


def accepted(accept_encoding: bytes) -> tuple[str, ...]:
    """Return the codings that a client takes rather than identity, best first.

    A weight that cannot be read counts as 0. Few values are ever sent, so answers are remembered.
    """
    known = _remembered.get(accept_encoding)
    if known is None:
        if len(accept_encoding) > ACCEPT_BYTES_MAX:
            return ()
        if len(_remembered) >= _REMEMBERED_MAX:
            _remembered.clear()
        known = _remembered[accept_encoding] = _ranked(accept_encoding, MADE)
    return known
