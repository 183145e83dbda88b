"""The pages: which address shows what, and what is read for it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from http import HTTPStatus
from typing import Any

from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler
from perfcheck_contracts import BASE_CURRENCY

from perfcheck_bff.reading.rates_api import RatesApi, both
from perfcheck_bff.reading.render import Render
from perfcheck_bff.site.pages import Crumb, PageModel, Pages, Sentence
from perfcheck_bff.site.variants import Site
from perfcheck_bff.site.views.currency import (
    CurrenciesView,
    currencies_view,
    currency_view,
    pair_view,
)
from perfcheck_bff.site.views.rates import board_view, day_view
from perfcheck_bff.site.views.year import YearsView, year_view, years_view

__all__ = ["canonical_code", "canonical_day", "page_routes"]

_METHODS = [HttpMethod.GET, HttpMethod.HEAD]
_CURRENCY_CODE = re.compile("[A-Z]{3}")
_YEAR_DIGITS = re.compile("[1-9][0-9]{3}")
# Browsers may keep a redirect; the page cache does not, for every spelling would be a page there.
_REDIRECT: Mapping[str, str] = {
    "Cache-Control": "public, max-age=86400",
    "CDN-Cache-Control": "no-store",
}


def canonical_code(text: str) -> str | None:
    """Return the upper-case form of what can be a currency's code, else None."""
    code = text.upper() if text.isascii() else ""
    return code if _CURRENCY_CODE.fullmatch(code) else None


def canonical_day(text: str) -> date | None:
    """Read `2026-10-30`; None for anything else, also for what else ISO 8601 allows."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def page_routes(pages: Pages, api: RatesApi, site: Site) -> list[HTTPRouteHandler]:
    """Return the handlers of one variant's pages."""
    return [
        _board(pages, api, site),
        _currencies(pages, api, site),
        _currency(pages, api, site),
        _pair(pages, api, site),
        _day(pages, api, site),
        _years(pages, api, site),
        _year(pages, api, site),
    ]


def _redirect(site: Site, path: str) -> Response[bytes]:
    return Response(
        b"",
        status_code=HTTPStatus.PERMANENT_REDIRECT,
        headers={**_REDIRECT, "Location": f"{site.prefix}{path}"},
    )


def _fixed(
    pages: Pages, site: Site, path: str, read: Callable[[Render], Awaitable[PageModel]]
) -> HTTPRouteHandler:
    """Return the handler of an address without parameters."""

    @route(f"{site.prefix}{path}".rstrip("/") or "/", http_method=_METHODS, include_in_schema=False)
    async def fixed() -> Response[bytes]:
        return await pages.answer(site, path, read, missing=Sentence("error.empty"))

    return fixed


def _board(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    async def read(render: Render) -> PageModel:
        view = board_view(await api.latest(render))
        return PageModel(template="board.html", view=view, section="home")

    return _fixed(pages, site, "/", read)


def _list(
    pages: Pages, site: Site, section: str, lay_out: Callable[[Render], Awaitable[Any]]
) -> HTTPRouteHandler:
    """Return the handler of the page that lists all of a section."""
    crumbs = (Crumb(label=pages.texts(site)(f"{section}.title")),)

    async def read(render: Render) -> PageModel:
        view = await lay_out(render)
        return PageModel(template=f"{section}.html", view=view, section=section, crumbs=crumbs)

    return _fixed(pages, site, f"/{section}", read)


def _currencies(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    async def lay_out(render: Render) -> CurrenciesView:
        return currencies_view((await api.currencies(render)).currencies)

    return _list(pages, site, "currencies", lay_out)


def _years(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    async def lay_out(render: Render) -> YearsView:
        return years_view((await api.years(render)).years)

    return _list(pages, site, "years", lay_out)


def _currency(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    texts = pages.texts(site)

    async def read(render: Render, code: str) -> PageModel:
        currency, history = await both(api.currency(render, code), api.history(render, code))
        return PageModel(
            template="currency.html",
            view=currency_view(currency, history, texts),
            section="currencies",
            crumbs=(
                Crumb(label=texts("currencies.title"), path="/currencies"),
                Crumb(label=code),
            ),
        )

    @route(f"{site.prefix}/currencies/{{code:str}}", http_method=_METHODS, include_in_schema=False)
    async def currency(code: str) -> Response[bytes]:
        canonical = canonical_code(code)
        missing = Sentence("error.currency", {"code": code})
        if canonical is None:
            return pages.error(site, HTTPStatus.NOT_FOUND, missing)
        path = f"/currencies/{canonical}"
        if canonical != code:
            return _redirect(site, path)
        if code == BASE_CURRENCY:
            return pages.error(site, HTTPStatus.NOT_FOUND, Sentence("error.base"))
        return await pages.answer(site, path, lambda render: read(render, code), missing=missing)

    return currency


def _pair(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    texts = pages.texts(site)

    async def read(render: Render, base: str, quote: str) -> PageModel:
        pair = await api.pair(render, base, quote)
        # The euro has no page of its own: it is the base of all rates.
        parent = next((code for code in (base, quote) if code != BASE_CURRENCY), base)
        return PageModel(
            template="pair.html",
            view=pair_view(pair, texts),
            section="currencies",
            crumbs=(
                Crumb(label=texts("currencies.title"), path="/currencies"),
                Crumb(label=parent, path=f"/currencies/{parent}"),
                Crumb(label=texts("pair.title", base=base, quote=quote)),
            ),
        )

    @route(
        f"{site.prefix}/pairs/{{base:str}}/{{quote:str}}",
        http_method=_METHODS,
        include_in_schema=False,
    )
    async def pair(base: str, quote: str) -> Response[bytes]:
        codes = canonical_code(base), canonical_code(quote)
        missing = Sentence("error.pair", {"base": base, "quote": quote})
        if codes[0] is None or codes[1] is None:
            return pages.error(site, HTTPStatus.NOT_FOUND, missing)
        path = f"/pairs/{codes[0]}/{codes[1]}"
        if codes != (base, quote):
            return _redirect(site, path)
        if base == quote:
            same = Sentence("error.same", {"base": base})
            return pages.error(site, HTTPStatus.BAD_REQUEST, same)
        return await pages.answer(
            site, path, lambda render: read(render, base, quote), missing=missing
        )

    return pair


def _day(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    texts = pages.texts(site)

    async def read(render: Render, day: date) -> PageModel:
        view = day_view(await api.day(render, day))
        return PageModel(
            template="day.html",
            view=view,
            section="years",
            crumbs=(
                Crumb(label=texts("years.title"), path="/years"),
                Crumb(label=str(day.year), path=f"/years/{day.year}"),
                Crumb(label=texts.short_day(day)),
            ),
        )

    @route(f"{site.prefix}/days/{{day_text:str}}", http_method=_METHODS, include_in_schema=False)
    async def day(day_text: str) -> Response[bytes]:
        asked = canonical_day(day_text)
        if asked is None:
            wrong = Sentence("error.date", {"text": day_text})
            return pages.error(site, HTTPStatus.BAD_REQUEST, wrong)
        return await pages.answer(
            site,
            f"/days/{day_text}",
            lambda render: read(render, asked),
            missing=Sentence("error.day", {"day": texts.long_day(asked)}),
        )

    return day


def _year(pages: Pages, api: RatesApi, site: Site) -> HTTPRouteHandler:
    texts = pages.texts(site)

    async def read(render: Render, year: int) -> PageModel:
        view = year_view(await api.year(render, year))
        return PageModel(
            template="year.html",
            view=view,
            section="years",
            crumbs=(Crumb(label=texts("years.title"), path="/years"), Crumb(label=str(year))),
        )

    @route(f"{site.prefix}/years/{{year_text:str}}", http_method=_METHODS, include_in_schema=False)
    async def year(year_text: str) -> Response[bytes]:
        missing = Sentence("error.year", {"text": year_text})
        if not _YEAR_DIGITS.fullmatch(year_text):
            return pages.error(site, HTTPStatus.NOT_FOUND, missing)
        return await pages.answer(
            site,
            f"/years/{year_text}",
            lambda render: read(render, int(year_text)),
            missing=missing,
        )

    return year
