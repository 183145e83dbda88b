"""Runs the app for the cache, once for one request."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from asgi_isr.http.fields import NO_STORE, TARGETED, cache_status, without
from asgi_isr.http.policy import NOT_MODIFIED, Circumstances, NotStored, Storing, storing
from asgi_isr.ports import Clock
from asgi_isr.rendering.capture import Capture
from asgi_isr.rendering.outcomes import Confirmed, Rendered, Streamed
from asgi_isr.rendering.request import PageRequest
from asgi_isr.settings import CacheSettings
from asgi_isr.types import App, Headers, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Fields of a request that concern one client's copy; the render is for everybody.
_CLIENT_FIELDS = frozenset(
    {b"accept-encoding", b"if-match", b"if-modified-since", b"if-none-match", b"if-range",
     b"if-unmodified-since", b"range"}
)  # fmt: skip
_OF_A_PAGE = frozenset({206, NOT_MODIFIED})

Spawn = Callable[[Coroutine[Any, Any, BaseException | None]], "asyncio.Task[BaseException | None]"]


async def _run(app: App, scope: Scope, receive: Receive, send: Send) -> BaseException | None:
    """Run `app`; return what it raised, which must not end the tasks beside it."""
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return error  # of its own
    except BaseException as error:  # noqa: BLE001  handed to those who wait
        return error
    return None


def _complain(app: "asyncio.Task[BaseException | None]") -> None:
    """Tell of what an app raised after its response."""
    error = None if app.cancelled() else app.result()
    if error is not None:
        logger.error("the application failed after its response", exc_info=error)


class AppRender:
    """Renders one request's page; `started` says whether the client has got a response."""

    def __init__(
        self, app: App, scope: Scope, receive: Receive, send: Send, *, request: PageRequest,
        query: bytes, settings: CacheSettings, clock: Clock, spawn: Spawn,
    ) -> None:  # fmt: skip
        self._app = app
        self._spawn = spawn
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request = request
        self._query = query
        self._settings = settings
        self._clock = clock
        self._sent = clock.monotonic()
        self.started = False

    async def direct(self, detail: str) -> None:
        """Let the app answer the client; nothing is stored."""
        self.started = True
        self._sent = self._clock.monotonic()
        await self._app(self._scope, self._receive, self._announcing(detail, watched=False))

    async def __call__(
        self, *, passing: Callable[[int], None] | None, hold_errors: bool, validators: Headers
    ) -> Rendered | Confirmed | Streamed:
        """Render the page for everybody (see `asgi_isr.rendering.request.Render`)."""
        headers = [
            (name, value) for name, value in self._scope["headers"] if name not in _CLIENT_FIELDS
        ]
        scope = {
            **self._scope,
            "method": "GET",
            "headers": headers + validators,
            "query_string": self._query,
            "state": dict(self._scope.get("state", {})),
            "extensions": {},  # messages of the server's own (pathsend, trailers) hold no page
        }
        self._sent = self._clock.monotonic()
        capture = Capture(
            circumstances=self._circumstances,
            page_bytes_max=self._settings.page_bytes_max,
            hand_over=partial(self._hand_over, passing) if passing is not None else None,
            hold_errors=hold_errors,
            asked=bool(validators),
        )
        app = self._spawn(_run(self._app, scope, capture.receive, capture.send))
        try:
            # What the app does after a whole response (background tasks of frameworks) is awaited
            # by nobody.
            await asyncio.wait((app, capture.whole), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            app.cancel()
            await asyncio.wait((app,))
            raise
        if not app.done():
            app.add_done_callback(_complain)
        elif (error := app.result()) is not None:
            raise error
        return capture.outcome()

    def _announcing(self, detail: str, *, watched: bool) -> Send:
        """Return a `send` that says in `Cache-Status` that the app answered itself.

        If nobody watched for events while it was made (not `watched`), no cache beyond this one
        may keep an answer that could be stored (rule 10).
        """
        status = cache_status(self._settings.name, "fwd=bypass", f"detail={detail}")
        head = self._scope["method"] == "HEAD"

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(bytes(name).lower(), bytes(value))
                           for name, value in message.get("headers", ())]  # fmt: skip
                # A part, or a word on what is held, is as good as the page to caches that have it.
                whole = 200 if message["status"] in _OF_A_PAGE else message["status"]
                if isinstance(self._rule(whole, headers), Storing):
                    headers = without(headers, TARGETED)
                    if not watched:
                        headers = [*without(headers, b"cache-control", b"expires"), NO_STORE]
                message = {**message, "headers": [*headers, status]}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await self._send(message)

        return send

    def _circumstances(self) -> Circumstances:
        """Return what the decision to store depends on, for a response that begins now."""
        return Circumstances(
            received=self._clock.wall(),
            delay_s=self._clock.monotonic() - self._sent,
            origin=self._request.origin,
            authorized=self._request.authorized,
            guess_freshness=self._settings.guess_freshness,
            store_set_cookie=self._settings.store_set_cookie,
            store_errors=self._settings.store_errors,
        )

    def _rule(self, status: int, headers: Headers) -> Storing | NotStored:
        """Decide how a response that begins now is stored, or why not."""
        return storing(status, headers, self._circumstances())

    def _hand_over(
        self, passing: Callable[[int], None], refused: NotStored, status: int
    ) -> tuple[Send, Receive]:
        """Give the client away: from here on the app answers it directly."""
        self.started = True
        passing(status)
        detail = refused.reason.replace(" ", "-").replace("=", "-").lower()
        return self._announcing(detail, watched=True), self._receive
