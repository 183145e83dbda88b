"""The lifespan of the cache around that of the app, also for an app that knows no lifespan."""

import logging
from contextlib import AsyncExitStack

from asgi_isr.engine.cache import PageCache
from asgi_isr.types import App, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class Lifespan:
    """One lifespan scope: the cache opens before the app starts and closes before the server goes.

    An app without lifespan support raises, or returns, before it answers (ASGI lifespan protocol,
    "Scope"); then the cache answers the server itself.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._asked = False
        self._answered = False
        self._last: Message | None = None

    async def run(self, app: App, scope: Scope, cache: PageCache) -> None:
        """Run until the server shuts down. Raises what an app raises that took part."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(cache)
            except Exception as error:
                await self._refuse(str(error))
                raise
            try:
                await app(scope, self._hear, self._say)
            except Exception as error:
                if self._answered:
                    raise
                logger.info("the application does not support lifespan: %r", error)
            if not self._answered:
                await self._stand_in()
        if self._last is not None:
            await self._send(self._last)

    async def _refuse(self, reason: str) -> None:
        """Tell the server why it must not start; it would take an error alone for no lifespan."""
        await self._receive()
        await self._send({"type": "lifespan.startup.failed", "message": reason})

    async def _hear(self) -> Message:
        message = await self._receive()
        self._asked = True
        return message

    async def _say(self, message: Message) -> None:
        self._answered = True
        if message["type"] == "lifespan.shutdown.complete":
            self._last = message  # the server may end the process when it hears this
        else:
            await self._send(message)

    async def _stand_in(self) -> None:
        if not self._asked:
            await self._receive()
        await self._send({"type": "lifespan.startup.complete"})
        await self._receive()
        self._last = {"type": "lifespan.shutdown.complete"}
