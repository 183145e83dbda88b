"""What is asked of the cache, and what it asks of the app."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from asgi_isr.coherence.rules import Rules
from asgi_isr.http.vary import variant_key
from asgi_isr.rendering.outcomes import Confirmed, Kept, Overtaken, Personal, Rendered, Streamed
from asgi_isr.types import Headers


class PageRequest(NamedTuple):
    """What a page is kept under, the path whose tags it carries, and the request's fields.

    `origin` is scheme and host where pages depend on them. One with credentials (`authorized`) is
    answered from the cache only where the page says so (RFC 9111, section 3.5); one that is
    `only_if_cached` makes nobody render. One `after_a_write`, of which this instance has been told,
    gets no page that was invalidated, not even softly.
    """

    key: str
    path: str
    headers: Headers
    origin: str = ""
    authorized: bool = False
    only_if_cached: bool = False
    after_a_write: bool = False


class Render(Protocol):
    """Runs the app for one request. Given to the cache by the middleware."""

    async def __call__(
        self, *, passing: Callable[[int], None] | None, hold_errors: bool, validators: Headers
    ) -> Rendered | Confirmed | Streamed:
        """Render the page, or with `validators` have the one confirmed that they belong to.

        A response that may not be stored goes to the client as it comes, after `passing` was called
        with its status; not if `passing` is None, and an error (5xx) not if `hold_errors`.
        """
        ...

    async def direct(self, detail: str) -> None:
        """Let the app answer the client without the cache."""
        ...


def is_for(request: PageRequest, result: Kept | Overtaken | Personal, rules: Rules) -> bool:
    """Say whether a page that another request had rendered is also the answer to this one."""
    page = result.entry.page
    return not isinstance(result, Personal) and rules.is_for(
        variant_key(request.key, page.vary, request.headers), page.key,
        validate=page.validate, authorized=request.authorized, public=page.public,
    )  # fmt: skip
