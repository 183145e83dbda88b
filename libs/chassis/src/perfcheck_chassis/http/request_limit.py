"""A bound on how long one request may take, so that a stuck one frees what it holds."""

import asyncio

from perfcheck_contracts.limits import REQUEST_S

from perfcheck_chassis.asgi import ASGIApp, Message, Receive, Scope, Send
from perfcheck_chassis.http.problems import Problem

__all__ = ["RequestTimeLimit"]


class RequestTimeLimit:
    """ASGI middleware: cancels a request after `limit_s` and answers 503 if nothing was sent yet.

    When the response had begun, the error goes to the server, which cuts the connection: an answer
    must not look complete when it is not.
    """

    def __init__(self, app: ASGIApp, *, limit_s: float = REQUEST_S) -> None:
        self.app = app
        self.limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan and WebSocket pass unbounded."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        limit = asyncio.timeout(self.limit_s)
        try:
            async with limit:
                await self.app(scope, receive, send_noted)
        except TimeoutError:
            # One of the application's own time limits is not ours to answer.
            if started or not limit.expired():
                raise
            await _send_problem(send, self.limit_s)


async def _send_problem(send: Send, limit_s: float) -> None:
    problem = Problem(
        503, type="request-time-limit", detail=f"the request took longer than {limit_s:g} s"
    )
    body = problem.body()
    headers = {
        **problem.response_headers(),
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
    }
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
