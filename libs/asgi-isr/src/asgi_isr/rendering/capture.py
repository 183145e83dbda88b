"""Runs the app for the cache: collects a storable response, lets others through as they come."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from asgi_isr.http.fields import NO_STORE, TARGETED, cache_status, first, without
from asgi_isr.http.policy import (
    ERROR_STATUS,
    NOT_MODIFIED,
    Circumstances,
    NotStored,
    Storing,
    storing,
)
from asgi_isr.ports import Clock
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
_NO_BODY = frozenset({204, 205})
_OF_A_PAGE = frozenset({206, NOT_MODIFIED})
_TOO_LARGE = NotStored("too large")


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
        await self._app(self._scope, self._receive, self.announcing(detail, watched=False))

    async def __call__(
        self, *, passing: Callable[[int], None] | None, hold_errors: bool, validators: Headers
    ) -> Rendered | Confirmed | Streamed:
        """Render the page for everybody (see `asgi_isr.rendering.flight.Render`)."""
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
        capture = _Capture(self, passing=passing, hold_errors=hold_errors, asked=bool(validators))
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

    def announcing(self, detail: str, *, watched: bool) -> Send:
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
                if isinstance(self.rule(whole, headers), Storing):
                    headers = without(headers, TARGETED)
                    if not watched:
                        headers = [*without(headers, b"cache-control", b"expires"), NO_STORE]
                message = {**message, "headers": [*headers, status]}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await self._send(message)

        return send

    def circumstances(self) -> Circumstances:
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

    def rule(self, status: int, headers: Headers) -> Storing | NotStored:
        """Decide how a response that begins now is stored, or why not."""
        return storing(status, headers, self.circumstances())

    def streaming(self, reason: str) -> tuple[Send, Receive]:
        """Hand over the client: from here on the app answers it directly."""
        self.started = True
        detail = reason.replace(" ", "-").replace("=", "-").lower()
        return self.announcing(detail, watched=True), self._receive

    @property
    def page_bytes_max(self) -> int:
        """Bytes of a body beyond which it is not stored."""
        return self._settings.page_bytes_max


class _Capture:
    """The app's view of one render: an empty request body, and a `send` that collects or passes."""

    def __init__(
        self, render: AppRender, *, passing: Callable[[int], None] | None, hold_errors: bool,
        asked: bool,
    ) -> None:  # fmt: skip
        self._render = render
        self._passing = passing
        self._hold_errors = hold_errors
        self._asked_about = asked  # a page: then 304 is an answer
        self._body = bytearray()
        self._start: Message | None = None
        self._status = 0
        self._headers: Headers = []
        self._at = render.circumstances()
        self._rule: Storing | NotStored = NotStored("no response")
        self._complete = False
        self._asked = False
        self._client: tuple[Send, Receive] | None = None
        self._answered = asyncio.Event()  # whole, or handed over to the client
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """Give an empty request; later calls hear of the client once it is handed over.

        After a whole response they hear that the client has gone, as from a server.
        """
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._answered.wait()
        if self._client is None:
            return {"type": "http.disconnect"}
        return await self._client[1]()

    async def send(self, message: Message) -> None:
        """Take one message of the app's response."""
        if self._client is not None:
            await self._client[0](message)
        elif message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            await self._collect(message)

    async def _begin(self, message: Message) -> None:
        self._status = message["status"]
        given = message.get("headers", ())  # any iterable, perhaps one that can be read once
        self._headers = [(bytes(name).lower(), bytes(value)) for name, value in given]
        self._start = {**message, "headers": self._headers}
        self._at = self._render.circumstances()
        if self._confirms:
            return
        self._rule = storing(self._status, self._headers, self._at)
        held = self._hold_errors and self._status in ERROR_STATUS
        if isinstance(self._rule, Storing):
            if held:
                self._rule = NotStored(f"status {self._status}")
            elif self._declared > self._render.page_bytes_max:
                self._rule = _TOO_LARGE
        if isinstance(self._rule, NotStored) and not held:
            await self._hand_over(self._rule)

    @property
    def _confirms(self) -> bool:
        return self._asked_about and self._status == NOT_MODIFIED

    @property
    def _declared(self) -> int:
        """Bytes that `Content-Length` promises, -1 where it promises nothing that can be read."""
        value = first(self._headers, b"content-length") or ""
        return int(value) if value.isascii() and value.isdecimal() else -1

    async def _collect(self, message: Message) -> None:
        self._body += message.get("body", b"")
        self._complete = not message.get("more_body", False)
        if len(self._body) <= self._render.page_bytes_max:
            if self._complete:
                self._answered.set()
                if not self.whole.done():
                    self.whole.set_result(None)
            return
        self._rule = _TOO_LARGE
        await self._hand_over(_TOO_LARGE)
        if self._client is not None:
            await self._client[0]({**message, "body": bytes(self._body)})
        self._body.clear()

    async def _hand_over(self, refused: NotStored) -> None:
        """Let the client, if there is one, have the response from here on, from its start."""
        if self._passing is None:
            return
        self._client = self._render.streaming(refused.reason)
        self._answered.set()
        self._passing(self._status)
        if self._start is not None:
            await self._client[0](self._start)

    def outcome(self) -> Rendered | Confirmed | Streamed:
        """Return what the app answered; raises RuntimeError when it answered nothing or in part."""
        if self._client is not None:
            return Streamed(self._status)
        if self._start is None or not self._complete:
            raise RuntimeError("the application ended without a complete response")
        if self._confirms:
            return Confirmed(self._headers, self._at)
        body = bytes(self._body)
        whole = self._declared in {-1, len(body)} or self._status in _NO_BODY
        if isinstance(self._rule, Storing) and not whole:
            raise RuntimeError(
                f"the application sent {len(body)} bytes after promising {self._declared}"
            )
        return Rendered(self._status, self._headers, body, self._rule, self._at)
