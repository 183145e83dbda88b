"""`POST /api/cache/warm`: render pages before somebody asks, for who saw an event make them old.

Each page is asked for as any client would ask, by a plain GET without credentials through the page
cache, inside this process: what is fresh already costs a look-up, what is not is rendered and
stored for all instances. A page that time does not allow is left out of the answer.
"""

import asyncio
import re
from http import HTTPStatus
from urllib.parse import unquote

from asgi_isr import PageCache
from asgi_isr.asgi import request
from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.http import Problem, json_answer, requires
from perfcheck_chassis.identity import TokenKeys
from perfcheck_contracts import WARM_PATHS_MAX, FieldError, WarmedPage, WarmResult, WarmWrite

__all__ = ["CONCURRENCY", "TIMEOUT_S_MAX", "Warming", "problems", "warm_routes"]

CONCURRENCY = 4
TIMEOUT_S_MAX = 20.0  # a full answer still comes within the limit on a whole request
_PAGE_PATH = re.compile(r"/[^\x00-\x1f\x7f#\ud800-\udfff]{0,1023}")


def problems(asked: WarmWrite, bypass: tuple[str, ...]) -> list[FieldError]:
    """Say what is wrong with `asked`; `bypass` are the prefixes of paths that are not pages."""
    found: list[FieldError] = []
    if not 0 < asked.timeout_s <= TIMEOUT_S_MAX:
        reason = f"must be above 0 and at most {TIMEOUT_S_MAX:g}"
        found.append(FieldError(field="timeout_s", detail=reason))
    if asked.seq < 0:
        found.append(FieldError(field="seq", detail="must not be below 0"))
    if len(asked.paths) > WARM_PATHS_MAX:
        reason = f"has {len(asked.paths)} paths; send at most {WARM_PATHS_MAX} at once"
        return [*found, FieldError(field="paths", detail=reason)]
    for position, path in enumerate(asked.paths):
        if not _PAGE_PATH.fullmatch(path) or _plain(path).startswith(bypass):
            reason = f"{path[:100]!a} is not a page of this service"
            found.append(FieldError(field=f"paths[{position}]", detail=reason))
    return found


def _plain(path: str) -> str:
    """Return the path as the cache and the routes see it: decoded, without the query."""
    return unquote(path.partition("?")[0])


class Warming:
    """Asks the service itself for pages; `app` is set once the service is put together."""

    def __init__(self, cache: PageCache) -> None:
        self.app: ASGIApp | None = None
        self.bypass = cache.settings.bypass
        self._cache = cache

    async def warm(self, asked: WarmWrite) -> WarmResult:
        """Wait until the log is applied up to `asked.seq`, then ask for the pages, four at once."""
        clock = self._cache.clock.monotonic
        deadline_s = clock() + asked.timeout_s
        pages: dict[str, WarmedPage] = {}
        if not await self._cache.follower.wait_for(asked.seq, asked.timeout_s):
            return WarmResult(pages=[])
        once = list(dict.fromkeys(asked.paths))
        paths = iter(once)

        async def work() -> None:
            for path in paths:  # shared: each is taken once
                try:
                    async with asyncio.timeout(max(deadline_s - clock(), 0)):
                        pages[path] = await self._ask(path)
                except TimeoutError:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(work())
        return WarmResult(pages=[pages[path] for path in once if path in pages])

    async def _ask(self, path: str) -> WarmedPage:
        if self.app is None:
            raise RuntimeError("`app` is not set yet")
        encoded, _, query = path.partition("?")
        reply = await request(
            self.app,
            unquote(encoded),
            raw_path=encoded.encode(),
            query=query,
            headers={"host": "localhost"},
        )
        return WarmedPage(path=path, status=reply.status, cache_status=reply.cache_status)


def warm_routes(keys: TokenKeys, warming: Warming) -> list[HTTPRouteHandler]:
    """Return the handler of `/api/cache/warm`."""
    guard = requires(keys, audience="frontend-bff", scope="cache:warm")

    @post("/api/cache/warm", guards=[guard], status_code=HTTPStatus.OK, include_in_schema=False)
    async def warm(data: WarmWrite) -> Response[bytes]:
        if found := problems(data, warming.bypass):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                type="invalid-request",
                detail="nothing was rendered; see errors",
                errors=found,
            )
        return json_answer(await warming.warm(data))

    return [warm]
