"""Reading what publishers send. Each mistake names its field.

Pure: no I/O, no clock.
"""

import re

import msgspec
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import Invalidation, check
from asgi_isr.keys import canonical_tag
from perfcheck_contracts import InvalidationWrite

from perfcheck_api.errors import BadRequestError, Fault, RejectedError
from perfcheck_api.invalidations.model import IDEMPOTENCY_KEY_CHARS_MAX

_DECODER = msgspec.json.Decoder(InvalidationWrite)
_PLACE = re.compile(r"(?P<reason>.*?) - at `\$\.?(?P<place>[^`]*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_IDEMPOTENCY_KEY = re.compile(r"[ -~]+", re.ASCII)
_SHOWN_CHARS_MAX = 40


def event_from(body: bytes) -> Invalidation:
    """Return the event that a body asks for, its tags in their canonical form and each once.

    Raises:
        BadRequestError: the body is not JSON.
        RejectedError: it is, but must not be published.

    """
    try:
        write = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise RejectedError(_fault(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(Fault("body", f"is not valid JSON: {error}")) from error
    event = Invalidation(
        tags=tuple(write.tags), paths=tuple(write.paths), mode=write.mode, reason=write.reason
    )
    try:
        check(event)
    except InvalidEventError as error:
        raise RejectedError(Fault(error.field, error.reason)) from error
    return msgspec.structs.replace(
        event,
        tags=tuple(dict.fromkeys(map(canonical_tag, event.tags))),
        paths=tuple(dict.fromkeys(event.paths)),
    )


def _fault(text: str) -> Fault:
    """Return msgspec's words as a fault of a field."""
    unknown = _UNKNOWN.match(text)
    if unknown is not None:
        name = unknown["name"]
        shown = name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "…"
        return Fault(shown, "is not a field of this body; it has tags, paths, mode and reason")
    placed = _PLACE.fullmatch(text)
    if placed is None:
        return Fault("body", text)
    return Fault(placed["place"], placed["reason"].replace("`", ""))


def idempotency_key_from(text: str | None) -> str | None:
    """Return the key of an `Idempotency-Key` header; raise `BadRequestError` for a bad one.

    The draft makes it a structured string (RFC 8941, section 3.3.3); most clients leave the quotes
    out, and mean the same.
    """
    if text is None:
        return None
    key = text.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if len(key) > IDEMPOTENCY_KEY_CHARS_MAX or not _IDEMPOTENCY_KEY.fullmatch(key):
        detail = f"expected 1 to {IDEMPOTENCY_KEY_CHARS_MAX} ASCII characters, such as a UUID"
        raise BadRequestError(Fault("Idempotency-Key", detail))
    return key
