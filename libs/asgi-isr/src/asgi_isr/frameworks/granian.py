"""Granian's workers: stop them while they start.

A worker of Granian (2.x) takes SIGTERM from the moment it has an event loop, but forgets one that
comes before its server runs: then it goes on until it is killed at the end of its time to stop.
"""

import asyncio
import signal
from collections.abc import Awaitable

from asgi_isr.types import App, Message, Receive, Scope, Send

__all__ = ["stoppable"]

# From the end of the app's start until the server, which the loop starts next, can be stopped.
SERVING_S = 0.2
_STOP = {signal.SIGTERM}


def stoppable(app: App) -> App:
    """Return `app` for a worker that keeps a SIGTERM back until its server runs.

    Call it in the worker, before it starts a thread: threads inherit which signals are kept back.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)

    def told_when_started(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            return app(scope, receive, send)

        async def started(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                asyncio.get_running_loop().call_later(SERVING_S, _take_stops)

        return app(scope, receive, started)

    return told_when_started


def _take_stops() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)
