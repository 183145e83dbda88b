"""`/perf`: a live page of this instance's cache; rendered here, refreshed by `static/perf.js`."""

from pathlib import Path

from asgi_isr import PageCache
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler
from perfcheck_chassis.http import Health

from perfcheck_bff.cache_status import cache_report
from perfcheck_bff.dashboard.view import perf_view
from perfcheck_bff.site import headers
from perfcheck_bff.site.pages import HTML, PageModel, Pages
from perfcheck_bff.site.variants import Site

__all__ = ["STATIC", "TEMPLATES", "perf_routes"]

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"


def perf_routes(
    pages: Pages, site: Site, *, instance: str, cache: PageCache, health: Health
) -> list[HTTPRouteHandler]:
    """Return the handler of the page; `site` says its language."""

    @route("/perf", http_method=[HttpMethod.GET, HttpMethod.HEAD], include_in_schema=False)
    async def perf() -> Response[bytes]:
        view = perf_view(
            cache_report(instance, cache),
            await health.report(),
            pages.texts(site),
            lease_s=cache.settings.lease_s,
        )
        page = PageModel(template="perf.html", view=view, section="perf")
        return Response(
            pages.html(site, "/perf", page), media_type=HTML, headers=headers.never_stored()
        )

    return [perf]
