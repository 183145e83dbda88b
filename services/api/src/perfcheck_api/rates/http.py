"""The HTTP edge of the rates: routes, headers, and the table from errors to problem details."""

from typing import Annotated, Any, TypeVar

from litestar import Request, Response, Router, get, patch, put
from litestar.datastructures import State
from litestar.params import FromPath, QueryParameter, RawBody
from litestar.types import ExceptionHandlersMap
from perfcheck_chassis import Problem, problem_handlers
from perfcheck_contracts import (
    Currency,
    CurrencyList,
    Day,
    FieldError,
    History,
    Pair,
    WriteResult,
    Year,
    YearList,
)

from perfcheck_api.errors import (
    BadRequestError,
    DatabaseUnavailableError,
    Fault,
    NotFoundError,
    RejectedError,
)
from perfcheck_api.rates.openapi import DayWriteOperation, problem_responses
from perfcheck_api.rates.service import RatesService, Tagged

# The pages' cache is in front of this service, and knows from events what is old; a second cache
# between the two would not (rule 3 of the coherence protocol).
_CACHE_CONTROL = "no-cache"
RETRY_AFTER_S = 1

AnswerT = TypeVar("AnswerT")

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
    responses=problem_responses(400, 413, 422, 503),
)
async def replace_day(state: State, date: FromPath[str], body: RawBody) -> Response[WriteResult]:
    """Set the day's rates to those given; announce the change."""
    return await _write(state, date, body, merge=False)


@patch(
    "/days/{date:str}",
    operation_id="mergeDay",
    summary="Change some rates of a day",
    operation_class=DayWriteOperation,
    responses=problem_responses(400, 413, 422, 503),
)
async def merge_day(state: State, date: FromPath[str], body: RawBody) -> Response[WriteResult]:
    """Set the rates given, remove those that are null, keep the rest; announce the change."""
    return await _write(state, date, body, merge=True)


async def _write(state: State, date: str, body: bytes, *, merge: bool) -> Response[WriteResult]:
    written = await _rates(state).write_day(date, body, merge=merge)
    return Response(
        written.result,
        status_code=201 if written.created else 200,
        headers={"Cache-Control": "no-store"},
    )


rates_router = Router(
    "/api/v1",
    route_handlers=[
        currencies,
        currency,
        history,
        pair,
        latest_day,
        day,
        years,
        year,
        replace_day,
        merge_day,
    ],
    tags=["rates"],
)


def _fields(faults: tuple[Fault, ...]) -> list[FieldError]:
    return [FieldError(field=fault.field, detail=fault.detail) for fault in faults]


def _detail(faults: tuple[Fault, ...]) -> str:
    return "; ".join(f"{fault.field}: {fault.detail}" for fault in faults)


_REQUEST = Request[Any, Any, Any]


def _send(request: _REQUEST, problem: Problem) -> Response[Any]:
    response: Response[Any] = problem_handlers[Problem](request, problem)
    return response


def _not_found(request: _REQUEST, error: NotFoundError) -> Response[Any]:
    # What is missing may come: the answer names what would change it, as every other does.
    headers = {"Cache-Control": _CACHE_CONTROL, "Cache-Tag": ", ".join(error.tags)}
    faults = (error.fault,)
    problem = Problem(
        404, type=error.kind, detail=_detail(faults), errors=_fields(faults), headers=headers
    )
    return _send(request, problem)


def _bad_request(request: _REQUEST, error: BadRequestError) -> Response[Any]:
    problem = Problem(
        400, type="invalid-request", detail=_detail(error.faults), errors=_fields(error.faults)
    )
    return _send(request, problem)


def _rejected(request: _REQUEST, error: RejectedError) -> Response[Any]:
    problem = Problem(
        422,
        type="rejected",
        detail=f"nothing was written. {_detail(error.faults)}",
        errors=_fields(error.faults),
    )
    return _send(request, problem)


def _unavailable(request: _REQUEST, error: DatabaseUnavailableError) -> Response[Any]:
    problem = Problem(
        503,
        type="database-unavailable",
        detail=f"{error.reason}; try again in {RETRY_AFTER_S} s",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
    return _send(request, problem)


error_handlers: ExceptionHandlersMap = {
    NotFoundError: _not_found,
    BadRequestError: _bad_request,
    RejectedError: _rejected,
    DatabaseUnavailableError: _unavailable,
}
