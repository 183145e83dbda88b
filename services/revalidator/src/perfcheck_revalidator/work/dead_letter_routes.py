"""Dead letters over HTTP: the list, and another try."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from asgi_isr.errors import LogUnavailableError
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from perfcheck_chassis.http import Problem, json_answer, requires
from perfcheck_chassis.identity import TokenKeys
from perfcheck_contracts import DeadLetterList, RetryReport

from perfcheck_revalidator.work.dead_letters import DeadLetters, Stored
from perfcheck_revalidator.work.event_work import EventWork

__all__ = ["DeadLetterService", "dead_letter_routes"]

_LIMIT = 50
_LIMIT_MAX = 100
_LIST_S = 10.0
_RETRY_S = 25.0


class DeadLetterService:
    """What the routes need; it is there while the service runs."""

    def __init__(self, letters: DeadLetters, work: EventWork) -> None:
        self._letters = letters
        self._work = work

    async def page(self, after: int, limit: int) -> DeadLetterList:
        """Return `limit` letters above `after`, and the cursor if there may be more."""
        found = await self._letters.after(after, limit + 1)
        following = found[limit - 1].number if len(found) > limit else None
        return DeadLetterList(
            dead_letters=[stored.shown() for stored in found[:limit]], next=following
        )

    async def retry(self, number: int) -> RetryReport | None:
        """Work on a letter again; None if there is none.

        Two at once do the same work twice, which is idempotent, and remove the letter once.
        """
        stored = await self._letters.get(number)
        if stored is None:
            return None
        reason = await self._reason(stored)
        if reason is None:
            await self._letters.remove(number)
            return RetryReport(number=number, done=True)
        if reason != stored.reason:  # a stream changes nothing: the letter is kept again
            await self._letters.add(stored.original, reason, instead_of=number)
            await self._letters.remove(number)
        return RetryReport(number=number, done=False, reason=reason)

    async def _reason(self, stored: Stored) -> str | None:
        try:
            async with asyncio.timeout(_RETRY_S):
                return await self._work.retry(stored.original)
        except TimeoutError:
            return f"not done within {_RETRY_S:g} s"


def dead_letter_routes(keys: TokenKeys, service: DeadLetterService) -> list[HTTPRouteHandler]:
    """Return the handlers of `/api/v1/dead-letters`."""
    guard = requires(keys, audience="revalidator", scope="dead-letters")

    @get("/api/v1/dead-letters", guards=[guard], include_in_schema=False)
    async def listed(
        after: Annotated[int, QueryParameter(ge=0)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=_LIMIT_MAX)] = _LIMIT,
    ) -> Response[bytes]:
        try:
            async with asyncio.timeout(_LIST_S):
                found = await service.page(after, limit)
        except (LogUnavailableError, TimeoutError) as error:
            raise _unavailable() from error
        return json_answer(found)

    @post("/api/v1/dead-letters/{number:int}/retry", guards=[guard], status_code=HTTPStatus.OK)
    async def retried(number: FromPath[int]) -> Response[bytes]:
        try:
            report = await service.retry(number)
        except LogUnavailableError as error:
            raise _unavailable() from error
        if report is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                detail=f"there is no dead letter {number}: it was done, removed or is too old",
            )
        return json_answer(report)

    return [listed, retried]


def _unavailable() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        detail="the stream of dead letters does not answer; try again later",
        headers={"Retry-After": "5"},
    )
