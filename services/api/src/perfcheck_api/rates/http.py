"""The HTTP edge of the rates: routes and headers."""

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response, Router, get, patch, put
from litestar.datastructures import ResponseHeader, State
from litestar.params import FromPath, QueryParameter, RawBody
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


def _rates(state: State) -> RatesService:
    service: RatesService = state.rates
    return service


@get("/currencies", operation_id="listCurrencies", summary="All currencies with rates")
async def currencies(state: State) -> Response[CurrencyList]:
    """Every currency that ever had a rate, with its latest one; without EUR, the base."""
    return _answer(await _rates(state).currencies())


@get(
    "/currencies/{code:str}",
    operation_id="getCurrency",
    summary="One currency",
    responses=problem_responses(404, 503),
)
async def currency(state: State, code: FromPath[str]) -> Response[Currency]:
    """Latest rate, and its change from the previous one."""
    return _answer(await _rates(state).currency(code))


@get(
    "/currencies/{code:str}/rates",
    operation_id="getHistory",
    summary="A currency's rates over time",
    responses=problem_responses(400, 404, 503),
)
async def history(
    state: State, code: FromPath[str], first: First = None, last: Last = None
) -> Response[History]:
    """Two columns, oldest day first; the whole history unless a range is given."""
    return _answer(await _rates(state).history(code, first, last))


@get(
    "/pairs/{base:str}/{quote:str}",
    operation_id="getPair",
    summary="A cross rate over time",
    responses=problem_responses(400, 404, 503),
)
async def pair(
    state: State, base: FromPath[str], quote: FromPath[str], first: First = None, last: Last = None
) -> Response[Pair]:
    """Units of the quote currency per unit of the base, where both have a rate; EUR is allowed."""
    return _answer(await _rates(state).pair(base, quote, first, last))


@get(
    "/days/latest",
    operation_id="getLatestDay",
    summary="The newest day",
    responses=problem_responses(404, 503),
)
async def latest_day(state: State) -> Response[Day]:
    """All rates of the newest day that has any."""
    return _answer(await _rates(state).latest_day())


@get(
    "/days/{date:str}",
    operation_id="getDay",
    summary="One day",
    responses=problem_responses(400, 404, 503),
)
async def day(state: State, date: FromPath[str]) -> Response[Day]:
    """All rates of a day; 404 where there are none, as on weekends."""
    return _answer(await _rates(state).day(date))


@get("/years", operation_id="listYears", summary="All years with rates")
async def years(state: State) -> Response[YearList]:
    """Years that have rates, oldest first."""
    return _answer(await _rates(state).years())


@get(
    "/years/{year:str}",
    operation_id="getYear",
    summary="One year",
    responses=problem_responses(400, 404, 503),
)
async def year(state: State, year: FromPath[str]) -> Response[Year]:
    """First, last, lowest, highest and mean rate of each currency."""
    return _answer(await _rates(state).year(year))


@put(
    "/days/{date:str}",
    operation_id="replaceDay",
    summary="Replace a day",
    operation_class=DayWriteOperation,
    responses=problem_responses(400, 401, 403, 413, 422, 503),
    response_headers=[CONSISTENCY_TOKEN],
    security=BEARER,
)
async def replace_day(
    request: Request[Any, Any, State],
    date: FromPath[str],
    body: RawBody,
    *,
    wait: Wait = None,
    timeout_s: WaitTime = WAIT_S,
) -> Response[WriteResult]:
    """Set the day's rates to those given; announce the change.

    With `wait=applied` the answer also says when each instance had applied it.
    """
    return await _write(request, date, body, merge=False, wait=wait, timeout_s=timeout_s)


@patch(
    "/days/{date:str}",
    operation_id="mergeDay",
    summary="Change some rates of a day",
    operation_class=DayWriteOperation,
    responses=problem_responses(400, 401, 403, 413, 422, 503),
    response_headers=[CONSISTENCY_TOKEN],
    security=BEARER,
)
async def merge_day(
    request: Request[Any, Any, State],
    date: FromPath[str],
    body: RawBody,
    *,
    wait: Wait = None,
    timeout_s: WaitTime = WAIT_S,
) -> Response[WriteResult]:
    """Set the rates given, remove those that are null, keep the rest; announce the change.

    With `wait=applied` the answer also says when each instance had applied it.
    """
    return await _write(request, date, body, merge=True, wait=wait, timeout_s=timeout_s)


async def _write(
    request: Request[Any, Any, State],
    date: str,
    body: bytes,
    *,
    merge: bool,
    wait: str | None,
    timeout_s: float,
) -> Response[WriteResult]:
    state = request.app.state
    tokens: ConsistencyTokens = state.consistency_tokens
    invalidations: InvalidationsService = state.invalidations.service
    started = invalidations.now()
    check_wait(timeout_s)
    written = await _rates(state).write_day(
        date, body, merge=merge, traceparent=request.headers.get("traceparent")
    )
    result = written.result
    if wait is not None:
        applied = await invalidations.wait(written.number, timeout_s=timeout_s, started=started)
        result = msgspec.structs.replace(result, applied=applied)
    return Response(
        result,
        status_code=201 if written.created else 200,
        headers={
            "Cache-Control": "no-store",
            "Consistency-Token": tokens.issue(outbox.SOURCE, written.number),
        },
    )


def rates_router(keys: TokenKeys) -> Router:
    """Return the routes; writes need a token of `keys` with the scope `rates:write`."""
    reads = [currencies, currency, history, pair, latest_day, day, years, year]
    guard = requires(keys, audience="api", scope="rates:write")
    writes = Router("/", route_handlers=[replace_day, merge_day], guards=[guard])
    return Router("/api/v1", route_handlers=[*reads, writes], tags=["rates"])
