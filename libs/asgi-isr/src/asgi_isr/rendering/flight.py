"""One render of a key in this process, and what became of it."""

import asyncio
import uuid
from collections.abc import Callable
from typing import NamedTuple, Protocol

from asgi_isr.http.policy import Circumstances, Storing
from asgi_isr.http.vary import variant_key
from asgi_isr.pages.entry import Entry
from asgi_isr.types import Headers


class PageRequest(NamedTuple):
    """What a page is kept under, the path whose tags it carries, and the request's fields.

    `origin` is scheme and host where pages depend on them. One with credentials (`authorized`) is
    answered from the cache only where the page says so (RFC 9111, section 3.5); one that is
    `only_if_cached` makes nobody render. One `after_a_write`, of which this instance has been told,
    gets no page that an invalidation speaks against, not even a soft one.
    """

    key: str
    path: str
    headers: Headers
    origin: str = ""
    authorized: bool = False
    only_if_cached: bool = False
    after_a_write: bool = False


class Rendered(NamedTuple):
    """A whole response of the app. `rule` is None when it must not be stored, for `reason`.

    `received` is when its header section came, in seconds since 1970.
    """

    status: int
    headers: Headers
    body: bytes
    rule: Storing | None
    at: Circumstances
    reason: str = ""


class Confirmed(NamedTuple):
    """The app answered 304: the page that it was asked about still holds."""

    headers: Headers
    at: Circumstances


class Streamed(NamedTuple):
    """A response that must not be stored went to the client as it came."""

    status: int


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


class Kept(NamedTuple):
    """The page was fresh when it came: from the app (`stored`) or from the shared store.

    `confirmed` says that the app was asked about an older page and answered 304.
    """

    entry: Entry
    stored: bool
    timing: bytes = b""  # Server-Timing of the render; not kept with the page
    confirmed: bool = False


class Overtaken(NamedTuple):
    """An invalidation came while the page was rendered: good for those who wait, not kept.

    `changes` were made through this instance before it was begun.
    """

    entry: Entry
    changes: int
    timing: bytes = b""


class Personal(NamedTuple):
    """A page that must not be stored any more, for the client alone that had it confirmed."""

    entry: Entry


class Passed(NamedTuple):
    """The response went straight to the client that asked first; others need their own."""


class Again(NamedTuple):
    """Nothing to share: look once more."""


class Failed(NamedTuple):
    """The app failed: with an exception, or with a response that must not be stored."""

    error: BaseException | Rendered


Result = Kept | Overtaken | Personal | Passed | Again | Failed


class Answer(NamedTuple):
    """A page to send, and how it came about, in the words of `Cache-Status`.

    `fresh` is False when no other cache may keep it (stale, or overtaken while it was rendered).
    `timing` is the `Server-Timing` of the render, where this request had one made.
    """

    entry: Entry
    status: tuple[str, ...]
    fresh: bool
    timing: bytes = b""


def is_for(request: PageRequest, result: Kept | Overtaken | Personal) -> bool:
    """Say whether a page that another request had rendered is also the answer to this one."""
    page = result.entry.page
    if isinstance(result, Personal) or page.validate or (request.authorized and not page.public):
        return False
    return page.key == variant_key(request.key, page.vary, request.headers)


class Flight:
    """A render under way; requests for the same key wait for `done` instead of rendering too.

    `ended` comes later than `done` where the response streams to the client that asked first; it
    gives what the app raised, or why it was cut off. Nobody joins one that is `alone`.
    """

    __slots__ = ("alone", "done", "ended", "key", "locked", "owner", "task")

    def __init__(self, key: str, *, alone: bool = False) -> None:
        self.key = key
        self.alone = alone
        self.owner = uuid.uuid4().hex  # of the fleet's render lock
        self.locked = False  # whether the lock is ours, or may be
        self.task: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Result] = loop.create_future()
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()

    def land(self, result: Result) -> None:
        """Tell those who wait, if nobody did yet."""
        if not self.done.done():
            self.done.set_result(result)

    def end(self, error: BaseException | None) -> None:
        """Tell the client that asked first that the app has ended."""
        if not self.ended.done():
            self.ended.set_result(error)

    async def watch(self) -> None:
        """Wait until the app has answered the client of this request; raise what it raises."""
        try:
            error = await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            if self.task is not None:
                self.task.cancel()  # nobody reads what still comes
            raise
        if error is not None:
            raise error
