"""The HTTP edge of the rates: routes and headers."""

from collections.abc import Callable
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from litestar import Request, Response, Router, get, patch, put
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter, RawBody, SkipValidation
from perfcheck_chassis.http import requires
from perfcheck_chassis.identity import ConsistencyTokens, TokenKeys
from perfcheck_contracts import (
    Currency,
    CurrencyList,
    Day,
    History,
    Pair,
    WriteResult,
    Year,
    YearList,
)
from perfcheck_contracts.limits import WAIT_S

from perfcheck_api import outbox
from perfcheck_api.invalidations.service import InvalidationsService
from perfcheck_api.invalidations.waiting import Wait, WaitTime, check_wait
from perfcheck_api.openapi import BEARER, problem_responses
from perfcheck_api.rates.input import (
    code_from,
    day_from,
    pair_from,
    range_from,
    rates_from,
    writable_day_from,
    year_from,
)
from perfcheck_api.rates.openapi import DayWriteOperation
from perfcheck_api.rates.service import RatesService, Tagged

# The pages' cache is in front of this service, and knows from events what is old; a second cache
# between the two would not (rule 3 of the coherence protocol).
_CACHE_CONTROL = "no-cache"

AnswerT = TypeVar("AnswerT")

CONSISTENCY_TOKEN = ResponseHeader(
    name="Consistency-Token",
    description="send it with a read of a page: that is then no older than this write",
    documentation_only=True,
)

First = Annotated[
    str | None,
    QueryParameter(name="from", description="first day, YYYY-MM-DD; open when left out"),
]
Last = Annotated[
    str | None,
    QueryParameter(name="to", description="last day, YYYY-MM-DD, inclusive; open when left out"),
]


def _answer(tagged: Tagged[AnswerT]) -> Response[AnswerT]:
    return Response(
        tagged.answer,
        headers={"Cache-Control": _CACHE_CONTROL, "Cache-Tag": ", ".join(tagged.tags)},
    )


class Edge(NamedTuple):
    """What the routes work with; `today` gives the current day in UTC."""

    service: RatesService
    invalidations: InvalidationsService
    tokens: ConsistencyTokens
    today: Callable[[], date]


Service = NamedDependency[SkipValidation[RatesService]]
Given = NamedDependency[SkipValidation[Edge]]


@get("/currencies", operation_id="listCurrencies", summary="All currencies with rates")
async def currencies(service: Service) -> Response[CurrencyList]:
    """Every currency that ever had a rate, with its latest one; without EUR, the base."""
    return _answer(await service.currencies())


@get(
    "/currencies/{code:str}",
    operation_id="getCurrency",
    summary="One currency",
    responses=problem_responses(404, 503),
)
async def currency(service: Service, code: FromPath[str]) -> Response[Currency]:
    """Latest rate, and its change from the previous one."""
    return _answer(await service.currency(code_from(code, field="code")))


@get(
    "/currencies/{code:str}/rates",
    operation_id="getHistory",
    summary="A currency's rates over time",
    responses=problem_responses(400, 404, 503),
)
async def history(
    edge: Given, code: FromPath[str], first: First = None, last: Last = None
) -> Response[History]:
    """Two columns, oldest day first; the whole history unless a range is given."""
    known_as = code_from(code, field="code")
    start, end = range_from(first, last, today=edge.today())
    return _answer(await edge.service.history(known_as, start, end))


@get(
    "/pairs/{base:str}/{quote:str}",
    operation_id="getPair",
    summary="A cross rate over time",
    responses=problem_responses(400, 404, 503),
)
async def pair(
    edge: Given, base: FromPath[str], quote: FromPath[str], first: First = None, last: Last = None
) -> Response[Pair]:
    """Units of the quote currency per unit of the base, where both have a rate; EUR is allowed."""
    codes = pair_from(base, quote)
    start, end = range_from(first, last, today=edge.today())
    return _answer(await edge.service.pair(*codes, start, end))


@get(
    "/days/latest",
    operation_id="getLatestDay",
    summary="The newest day",
    responses=problem_responses(404, 503),
)
async def latest_day(service: Service) -> Response[Day]:
    """All rates of the newest day that has any."""
    return _answer(await service.latest_day())


@get(
    "/days/{date:str}",
    operation_id="getDay",
    summary="One day",
    responses=problem_responses(400, 404, 503),
)
async def day(service: Service, date: FromPath[str]) -> Response[Day]:
    """All rates of a day; 404 where there are none, as on weekends."""
    return _answer(await service.day(day_from(date, field="date")))


@get("/years", operation_id="listYears", summary="All years with rates")
async def years(service: Service) -> Response[YearList]:
    """Years that have rates, oldest first."""
    return _answer(await service.years())


@get(
    "/years/{year:str}",
    operation_id="getYear",
    summary="One year",
    responses=problem_responses(400, 404, 503),
)
async def year(service: Service, year: FromPath[str]) -> Response[Year]:
    """First, last, lowest, highest and mean rate of each currency."""
    return _answer(await service.year(year_from(year)))


def _write_day(
    method: type[put | patch],
    *,
    operation_id: str,
    summary: str,
    merge: bool,
) -> HTTPRouteHandler:
    """Return the route that sets a day's rates to those given and announces the change.

    With `merge` it keeps the rates that the body does not name, and removes those that are null.
    With `wait=applied` the answer also says when each instance had applied the event.
    """

    async def write_day(
        request: Request[Any, Any, Any],
        edge: Given,
        date: FromPath[str],
        body: RawBody,
        *,
        wait: Wait = None,
        timeout_s: WaitTime = WAIT_S,
    ) -> Response[WriteResult]:
        started = edge.invalidations.now()
        check_wait(timeout_s)
        day = writable_day_from(date, today=edge.today())
        named = rates_from(body, known=await edge.service.known_codes(), merge=merge)
        written = await edge.service.write_day(
            day, named, merge=merge, traceparent=request.headers.get("traceparent")
        )
        result = written.result
        if wait is not None:
            applied = await edge.invalidations.wait(
                written.source_seq, timeout_s=timeout_s, started=started
            )
            result = msgspec.structs.replace(result, applied=applied)
        return Response(
            result,
            status_code=HTTPStatus.CREATED if written.created else HTTPStatus.OK,
            headers={
                "Cache-Control": "no-store",
                "Consistency-Token": edge.tokens.issue(outbox.OUTBOX_SOURCE, written.source_seq),
            },
        )

    return method(
        "/days/{date:str}",
        operation_id=operation_id,
        summary=summary,
        operation_class=DayWriteOperation,
        responses=problem_responses(400, 401, 403, 413, 422, 503),
        response_headers=[CONSISTENCY_TOKEN],
        security=BEARER,
    )(write_day)


replace_day = _write_day(
    put,
    operation_id="replaceDay",
    summary="Replace a day",
    merge=False,
)
merge_day = _write_day(
    patch,
    operation_id="mergeDay",
    summary="Change some rates of a day",
    merge=True,
)


def rates_router(edge: Edge, keys: TokenKeys) -> Router:
    """Return the routes; writes need a token of `keys` with the scope `rates:write`."""
    reads = [currencies, currency, history, pair, latest_day, day, years, year]
    guard = requires(keys, audience="api", scope="rates:write")
    writes = Router("/", route_handlers=[replace_day, merge_day], guards=[guard])
    return Router(
        "/",
        route_handlers=[*reads, writes],
        dependencies={
            "edge": Provide(lambda: edge, use_cache=True, sync_to_thread=False),
            "service": Provide(lambda: edge.service, use_cache=True, sync_to_thread=False),
        },
        tags=["rates"],
    )
