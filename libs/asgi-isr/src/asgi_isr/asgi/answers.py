"""Answers of the cache as ASGI messages: whole pages, parts, 304, and failures of its own."""

from typing import Literal

from asgi_isr.http import dates
from asgi_isr.http.cache_control import date
from asgi_isr.http.codings import accepted
from asgi_isr.http.fields import LIFETIMES, NO_STORE, cache_status, for_one_client, without
from asgi_isr.http.ranges import Part, content_range, part
from asgi_isr.pages.entry import Entry, Variant, not_modified_headers
from asgi_isr.rendering.outcomes import Answer
from asgi_isr.settings import CacheSettings
from asgi_isr.types import Headers, Message, Scope, Send

_OK, _PARTIAL, _NOT_MODIFIED = 200, 206, 304
_UNSATISFIABLE = 416


def sender_to_one(send: Send) -> Send:
    """Return a `send` of answers that no shared cache beyond this one keeps, whatever they say."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": for_one_client(message.get("headers", ()))}
        await send(message)

    return sending


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a response in two messages."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_answer(
    scope: Scope, send: Send, answer: Answer, *, settings: CacheSettings, now: float
) -> None:
    """Send a page that did not come by the hot path, with its own status line."""
    asked: dict[bytes, bytes] = dict(scope["headers"])
    entry = answer.entry
    variant = entry.variant(accepted(asked.get(b"accept-encoding", b"")))
    fields = variant.headers(targeted=settings.forward_cdn_cache_control)
    age = int(now - entry.created)
    if age > 0 or "hit" in answer.status:  # what the app has just made has none (RFC 9111, 5.1)
        fields.append((b"age", str(max(0, age)).encode()))
    fields.append(cache_status(settings.name, *answer.status))
    if answer.timing:
        fields.append((b"server-timing", answer.timing))
    if not answer.fresh:  # rule 10: no cache beyond this one may keep it
        fields = [*without(fields, *LIFETIMES), NO_STORE]
    if variant.confirms(asked.get(b"if-none-match"), asked.get(b"if-modified-since")):
        await send_whole(send, _NOT_MODIFIED, not_modified_headers(fields), b"")
        return
    body = variant.body if scope["method"] == "GET" else b""
    await send_whole(send, variant.status, fields, body)


def asked_part(entry: Entry, asked: dict[bytes, bytes]) -> Part | Literal[False] | None:
    """Return the part of a stored page that a request asks for (see `asgi_isr.http.ranges.part`).

    `If-Range` must name this very page, else the whole is the answer (RFC 9110, section 13.1.5).
    """
    identity = entry.identity
    condition = asked.get(b"if-range")
    if identity.status != _OK or (condition is not None and not _same(identity, condition)):
        return None
    return part(asked[b"range"], len(identity.body))


def _same(variant: Variant, condition: bytes) -> bool:
    """Compare strongly: with a weak validator parts of two bodies could be mixed."""
    if condition.endswith(b'"'):
        return condition == variant.etag and not condition.startswith(b"W/")
    modified, made = variant.last_modified(), date(variant.headers(), b"date")
    if modified is None or modified != dates.parse(condition.decode("latin-1").strip()):
        return False
    # Else it may have been modified twice in its second (RFC 9110, section 8.8.2.2).
    return made is not None and made - modified >= 1


async def send_part(send: Send, fields: Headers, body: bytes, asked: Part | None) -> None:
    """Send bytes of a page with 206, or 416 where it has none of those asked for."""
    size = len(body)
    body = body[asked.first : asked.last + 1] if asked is not None else b""
    if asked is None:  # no cache may take it for the page
        fields = [*without(fields, *LIFETIMES), NO_STORE]
    fields = [
        *without(fields, b"content-length"),
        (b"content-length", str(len(body)).encode()),
        content_range(asked, size),
    ]
    await send_whole(send, _PARTIAL if asked is not None else _UNSATISFIABLE, fields, body)


async def send_failure(
    scope: Scope, send: Send, settings: CacheSettings, *, detail: str, text: str
) -> None:
    """Say why there is no page, with 504: what was asked did not come in time, or is not kept."""
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        NO_STORE,
        cache_status(settings.name, "fwd=miss", f"detail={detail}"),
    ]
    await send_whole(send, 504, headers, body if scope["method"] == "GET" else b"")
