"""Makes pages of what the app answered: bodies in each coding, validator, tags, times."""

import asyncio
import hashlib

from asgi_isr.http import dates, vary
from asgi_isr.http.cache_control import cache_control, of_response
from asgi_isr.http.codings import IDENTITY, coded, worth_coding
from asgi_isr.http.fields import (
    first,
    members,
    stored_headers,
    updated_headers,
    values,
    without,
)
from asgi_isr.http.policy import NotStored, Storing, storing
from asgi_isr.keys import page_tags
from asgi_isr.pages.codec import one_of_each
from asgi_isr.pages.page import Page
from asgi_isr.rendering.outcomes import Confirmed, Rendered
from asgi_isr.rendering.request import PageRequest
from asgi_isr.types import Headers

INLINE_BYTES_MAX = 64 * 1024  # a larger body is coded beside the event loop
_UNSTORED = Storing(ttl_s=0.0, swr_s=0.0, sie_s=0.0, tags=())


async def rendered_page(request: PageRequest, answer: Rendered, fence: int) -> Page:
    """Make a page of a whole response that may be stored."""
    if isinstance(answer.rule, NotStored):
        raise TypeError("a response that is not stored makes no page")
    headers = stored_headers(answer.headers)
    if len(answer.body) <= INLINE_BYTES_MAX:
        bodies = bodies_of(headers, answer.body)
    else:
        bodies = await asyncio.to_thread(bodies_of, headers, answer.body)
    return _page(
        request, status=answer.status, headers=headers, bodies=bodies,
        etag=given_etag(answer.headers), rule=answer.rule, fence=fence,
        received=answer.at.received,
    )  # fmt: skip


def confirmed_page(
    request: PageRequest, answer: Confirmed, page: Page, fence: int
) -> tuple[Page, bool]:
    """Renew a page that the app confirmed; say whether it may still be stored (RFC 9111, 4.3.4)."""
    stored = page.headers
    if first(answer.headers, b"date") is None:  # the time of its receipt is set instead
        stored = without(stored, b"date")
    headers = updated_headers(stored, answer.headers)
    ages = values(answer.headers, b"age")
    judged = [*headers, *((b"age", age.encode("latin-1")) for age in ages)]
    if page.given:
        judged.append((b"etag", page.etag))
    rule = storing(page.status, judged, answer.at)
    renewed = _page(
        request, status=page.status, headers=headers, bodies=page.bodies,
        etag=page.etag if page.given else None,
        rule=rule if isinstance(rule, Storing) else _UNSTORED, fence=fence,
        received=answer.at.received,
    )  # fmt: skip
    return renewed, isinstance(rule, Storing)


def speaks_of(answer: Confirmed, page: Page) -> bool:
    """Say whether a 304 is about this very page (RFC 9111, section 4.3.4).

    An `ETag` that it brings has to be the page's, compared weakly where it is a weak one.
    """
    etag = given_etag(answer.headers)
    if etag is None or etag == page.etag:
        return True
    return etag.startswith(b"W/") and etag[2:] == page.etag and page.given


def bodies_of(headers: Headers, body: bytes) -> dict[str, bytes]:
    """Return the body as it is and in each coding that is worth it, made once for all readers.

    What the app coded itself, or forbids to transform (RFC 9110, section 7.7), stays as it is.
    """
    content_type = first(headers, b"content-type") or ""
    # Whoever it is addressed to: it is said to all who hand the content on.
    transformed = "no-transform" not in {
        *of_response(headers)[0], *cache_control(values(headers, b"cache-control"))
    }  # fmt: skip
    is_coded = first(headers, b"content-encoding") is not None
    if is_coded or not transformed or not worth_coding(content_type, len(body)):
        return {IDENTITY: body}
    return {IDENTITY: body, **coded(body)}


def _with_vary(headers: Headers) -> Headers:
    """Say that the answer depends on `Accept-Encoding`, beside what the app says."""
    named = members(headers, b"vary")
    if any(name.lower() == "accept-encoding" for name in named):
        return headers
    kept = [field for field in headers if field[0] != b"vary"]
    return [*kept, (b"vary", ", ".join((*named, "Accept-Encoding")).encode("latin-1"))]


def _page(
    request: PageRequest, *, status: int, headers: Headers, bodies: dict[str, bytes],
    etag: bytes | None, rule: Storing, fence: int, received: float,
) -> Page:  # fmt: skip
    """Make a page; without an ETag of the app's it gets one that is made of the body."""
    kept = _with_vary(headers) if len(bodies) > 1 else headers
    if first(kept, b"date") is None:
        kept = [*kept, (b"date", dates.form(received))]  # RFC 9110, section 6.6.1
    made = b'"' + hashlib.blake2b(bodies[IDENTITY], digest_size=12).hexdigest().encode() + b'"'
    page = Page(
        key=vary.variant_key(request.key, rule.vary, request.headers),
        status=status,
        headers=kept,
        etag=made if etag is None else etag,
        given=etag is not None,
        bodies=bodies,
        tags=page_tags(request.path, rule.tags),
        fence=fence,
        created=received - rule.age_s,
        ttl_s=rule.ttl_s,
        swr_s=rule.swr_s,
        sie_s=rule.sie_s,
        vary=rule.vary,
        validate=rule.validate,
        public=rule.public,
    )
    return one_of_each(page)


def given_etag(headers: Headers) -> bytes | None:
    """Return the `ETag` of the app's response, None where it has none that can be used."""
    value = next(iter(values(headers, b"etag")), "").strip()
    opaque = value.removeprefix("W/")
    well_formed = len(opaque) > 1 and opaque[0] == opaque[-1] == '"' and '"' not in opaque[1:-1]
    return value.encode("latin-1") if well_formed else None
