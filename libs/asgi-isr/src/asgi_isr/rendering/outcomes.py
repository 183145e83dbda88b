"""How a render ends, for the one who runs the app, for those who wait, and for one request."""

from typing import NamedTuple

from asgi_isr.http.policy import Circumstances, NotStored, Storing
from asgi_isr.pages.entry import Entry
from asgi_isr.types import Headers

# -- what the app answered ------------------------------------------------------------------------


class Rendered(NamedTuple):
    """A whole response of the app, and how it is stored, or why not."""

    status: int
    headers: Headers
    body: bytes
    rule: Storing | NotStored
    at: Circumstances


class Confirmed(NamedTuple):
    """The app answered 304: the page that it was asked about still holds."""

    headers: Headers
    at: Circumstances


class Streamed(NamedTuple):
    """A response that must not be stored went, as it came, to the client that asked first.

    Others who wait need one of their own.
    """

    status: int


# -- what became of a render, for all who wait for it ---------------------------------------------


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

    `changes` were made through this instance before it was begun. Or what it was made from is not
    what the log tells of (`other-origin`).
    """

    entry: Entry
    changes: int
    timing: bytes = b""
    detail: str = "overtaken"


class Personal(NamedTuple):
    """A page that must not be stored any more, for the client alone that had it confirmed."""

    entry: Entry


class Again(NamedTuple):
    """Nothing to share: look once more."""


class Failed(NamedTuple):
    """The app failed: with an exception, or with a response that must not be stored."""

    error: BaseException | Rendered


Result = Kept | Overtaken | Personal | Streamed | Again | Failed


# -- what one request gets ------------------------------------------------------------------------


class Answer(NamedTuple):
    """A page to send, and how it came about, in the words of `Cache-Status`.

    `fresh` is False when no other cache may keep it (stale, or overtaken while it was rendered).
    `timing` is the `Server-Timing` of the render, where this request had one made.
    """

    entry: Entry
    status: tuple[str, ...]
    fresh: bool
    timing: bytes = b""


class Bypass(NamedTuple):
    """The app has to answer this client itself; `reason` is the `detail` in `Cache-Status`."""

    reason: str
