"""`Server-Timing: app;dur=<ms>`: how long the application took, told to whoever called it.

The caller subtracts it from what it measured itself; the rest is the hop between the two.
"""

import time

from perfcheck_chassis.asgi import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ServerTiming", "app_duration_s"]


class ServerTiming:
    """ASGI middleware that adds the header, timed from the request to the response's start."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                value = b"app;dur=%.3f" % ((time.perf_counter() - started) * 1000)
                message["headers"] = [*message["headers"], (b"server-timing", value)]
            await send(message)

        await self.app(scope, receive, send_timed)


def app_duration_s(header: str) -> float | None:
    """Return the seconds that a `Server-Timing` value gives for `app`, or None if it gives none."""
    for metric in header.split(","):
        name, _, parameters = metric.strip().partition(";")
        if name.strip() != "app":
            continue
        for parameter in parameters.split(";"):
            key, _, value = parameter.strip().partition("=")
            if key == "dur":
                try:
                    return float(value.strip('"')) / 1000
                except ValueError:
                    return None
    return None
