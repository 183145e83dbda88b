"""What pages read, from the api service.

Every read is given the `Render` of its page and leaves its tags and times there. The three ways in
which a read can end without data are three exceptions, which `pages` turns into error pages.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import date
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from perfcheck_chassis.http_client import NeighbourError, ServiceClient
from perfcheck_contracts import (
    Currency,
    CurrencyList,
    Day,
    History,
    Pair,
    Year,
    YearList,
)

from perfcheck_bff.reading.render import Render

__all__ = [
    "MissingError",
    "RatesApi",
    "ReadError",
    "RefusedError",
    "UnreadableError",
    "both",
]

_RATES_ROOT = "/api/v1"
_ReadT = TypeVar("_ReadT")
_FirstT = TypeVar("_FirstT")
_SecondT = TypeVar("_SecondT")


class ReadError(Exception):
    """A read gave no data; the text says which read, and why."""


class MissingError(ReadError):
    """The api knows nothing at this address; the render carries the tags that would change it."""


class RefusedError(ReadError):
    """The api refused the request itself (4xx)."""


class UnreadableError(ReadError):
    """The api did not answer as it should; `status` (502, 503 or 504) is what the page answers."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RatesApi:
    """The reads of all pages; codes are upper case and checked by the caller.

    Each raises MissingError, RefusedError or UnreadableError. A list or history that is returned
    has at least one entry: nothing to show is MissingError too.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def currencies(self, render: Render) -> CurrencyList:
        """Read every currency that ever had a rate."""
        found = await self._read(render, "/currencies", CurrencyList)
        return _unless_empty(found, found.currencies)

    async def currency(self, render: Render, code: str) -> Currency:
        """Read a currency's facts."""
        return await self._read(render, f"/currencies/{code}", Currency)

    async def history(self, render: Render, code: str) -> History:
        """Read all rates of a currency."""
        found = await self._read(render, f"/currencies/{code}/rates", History)
        return _unless_empty(found, found.days)

    async def pair(self, render: Render, base: str, quote: str) -> Pair:
        """Read all cross rates of a pair, of the days on which both have a rate."""
        found = await self._read(render, f"/pairs/{base}/{quote}", Pair)
        return _unless_empty(found, found.days)

    async def latest(self, render: Render) -> Day:
        """Read the latest day with rates."""
        return await self._read(render, "/days/latest", Day)

    async def day(self, render: Render, day: date) -> Day:
        """Read a day's rates."""
        return await self._read(render, f"/days/{day.isoformat()}", Day)

    async def years(self, render: Render) -> YearList:
        """Read which years have rates."""
        found = await self._read(render, "/years", YearList)
        return _unless_empty(found, found.years)

    async def year(self, render: Render, year: int) -> Year:
        """Read a year's summary."""
        return await self._read(render, f"/years/{year}", Year)

    async def unhealthy_reason(self) -> str | None:
        """Say why the api cannot serve now, or None: the health check `api`."""
        try:
            reply = await self._client.get("/api/health/live")
        except NeighbourError as error:
            return (
                f"no answer from the api ({error.kind}); "
                "is PERFCHECK_API_URL right, and is the api running?"
            )
        if reply.status != HTTPStatus.OK:
            return f"the api answers with status {reply.status}"
        return None

    async def _read(self, render: Render, path: str, shape: type[_ReadT]) -> _ReadT:
        try:
            with render.reading():
                reply = await self._client.get(_RATES_ROOT + path)
        except NeighbourError as error:
            render.fail(str(error))
            status = (
                HTTPStatus.GATEWAY_TIMEOUT if error.kind == "timeout" else HTTPStatus.BAD_GATEWAY
            )
            raise UnreadableError(str(error), status) from error
        render.collect(path, reply)
        if reply.status == HTTPStatus.OK:
            try:
                return msgspec.json.decode(reply.body, type=shape)
            except msgspec.MsgspecError as error:
                message = f"the reply to {path} is not a valid {shape.__name__}: {error}"
                render.fail(message)
                raise UnreadableError(message, HTTPStatus.BAD_GATEWAY) from error
        message = f"the api answered {reply.status} to {path}"
        if reply.status == HTTPStatus.NOT_FOUND:
            raise MissingError(message)
        render.fail(message)
        if HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RefusedError(message)
        unavailable = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
        raise UnreadableError(
            message, HTTPStatus.SERVICE_UNAVAILABLE if unavailable else HTTPStatus.BAD_GATEWAY
        )


def _unless_empty(found: _ReadT, entries: Sequence[object]) -> _ReadT:
    if not entries:
        raise MissingError(f"{type(found).__name__} has no entries")
    return found


async def both(
    first: Coroutine[Any, Any, _FirstT], second: Coroutine[Any, Any, _SecondT]
) -> tuple[_FirstT, _SecondT]:
    """Run two reads side by side; when one fails, the other is cancelled and its error raised."""
    try:
        async with asyncio.TaskGroup() as group:
            first_task = group.create_task(first)
            second_task = group.create_task(second)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return first_task.result(), second_task.result()
