"""From a request to its page: read, render, decide on headers, turn failures into pages.

`routes` says what each page reads and shows; this module is the same for all of them.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar import Response
from minijinja import Environment, safe

from perfcheck_bff.reading.rates_api import MissingError, RefusedError, UnreadableError
from perfcheck_bff.reading.render import Render
from perfcheck_bff.site import headers
from perfcheck_bff.site.texts import Texts
from perfcheck_bff.site.variants import Site

__all__ = ["HTML", "Crumb", "PageModel", "Pages", "Sentence"]

HTML = "text/html"  # Litestar adds the charset
_READ_AGAIN_S = 5
_log = logging.getLogger(__name__)


class Sentence(NamedTuple):
    """A text of the catalogue with its placeholders' values, not yet in a language."""

    key: str
    values: Mapping[str, object] = {}


class Crumb(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the way to a page; without `path` it is the page itself."""

    label: str
    path: str | None = None


class PageModel(msgspec.Struct, frozen=True, kw_only=True):
    """What to show: a template with its view model, and where in the site it stands."""

    template: str
    view: Any
    section: str
    crumbs: tuple[Crumb, ...] = ()


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """What an error page shows."""

    status: int
    heading: str
    detail: str


class Language(NamedTuple):
    """What pages of one language need."""

    texts: Texts
    environment: Environment


class Pages:
    """Renders pages in all languages; `clock` gives seconds for Server-Timing.

    With `cdn` a CDN in front may keep them.
    """

    def __init__(
        self, languages: Mapping[str, Language], *, clock: Callable[[], float], cdn: bool = False
    ) -> None:
        self._cdn = cdn
        self._languages = languages
        self._clock = clock

    def texts(self, site: Site) -> Texts:
        """Return the words of a variant's language."""
        return self._languages[site.language].texts

    async def answer(
        self,
        site: Site,
        path: str,
        read: Callable[[Render], Awaitable[PageModel]],
        *,
        missing: Sentence,
    ) -> Response[bytes]:
        """Return the page that `read` makes, or the error page that fits what `read` raised.

        `path` is canonical and without the variant's prefix; `missing` is what the 404 page says.
        A 404 is a page like others: kept under the tags of the reply that said so.
        """
        started = self._clock()
        render = Render(self._clock)
        try:
            page = await read(render)
        except MissingError:
            fields = headers.cached(site.mode, render, cdn=self._cdn)
            response = self.error(site, HTTPStatus.NOT_FOUND, missing, fields=fields)
        except RefusedError as error:
            _log.warning("%s: %s", path, error)
            response = self.error(site, HTTPStatus.BAD_REQUEST, Sentence("error.page"))
        except UnreadableError as error:
            _log.warning("%s: %s", path, error)
            fields = {**headers.never_stored(), "Retry-After": str(_READ_AGAIN_S)}
            response = self.error(site, error.status, Sentence("error.read"), fields=fields)
        else:
            if render.refusal is not None:
                _log.warning("%s is served but not stored: %s", path, render.refusal)
            body = self.html(site, path, page)
            response = Response(
                body, media_type=HTML, headers=headers.cached(site.mode, render, cdn=self._cdn)
            )
        timing = headers.server_timing(render, self._clock() - started)
        response.headers["Server-Timing"] = timing
        return response

    def html(self, site: Site, path: str, page: PageModel) -> bytes:
        """Render a page; `path` is canonical, never what a client sent."""
        text = self._languages[site.language].environment.render_template(
            page.template,
            mode=site.mode,
            # Made of our own letters and of checked codes and dates: escaping would only turn each
            # slash into six characters.
            prefix=safe(site.prefix),
            path=safe(path),
            section=page.section,
            crumbs=page.crumbs,
            view=page.view,
        )
        return text.encode()

    def error(
        self,
        site: Site,
        status: int,
        detail: Sentence,
        *,
        fields: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        """Return an error page; without `fields` it is never stored."""
        texts = self.texts(site)
        view = ErrorView(
            status=status,
            heading=texts(f"error.heading_{status}"),
            detail=texts(detail.key, **detail.values),
        )
        page = PageModel(template="error.html", view=view, section="")
        return Response(
            self.html(site, "", page),
            status_code=status,
            media_type=HTML,
            headers=dict(fields or headers.never_stored()),
        )
