"""`POST /api/cache/warm`: render pages before somebody asks, for who saw an event make them old."""

import re
from http import HTTPStatus
from urllib.parse import unquote

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from perfcheck_chassis.http import Problem, json_answer, requires
from perfcheck_chassis.identity import TokenKeys
from perfcheck_contracts import WARM_PATHS_MAX, FieldError, WarmWrite
from perfcheck_contracts.limits import WARM_S_MAX

from perfcheck_bff.warming.pages import Warming

__all__ = ["problems", "warm_routes"]

_PAGE_PATH = re.compile(r"/[^\x00-\x1f\x7f#\ud800-\udfff]{0,1023}")


def problems(asked: WarmWrite, bypass: tuple[str, ...]) -> list[FieldError]:
    """Say what is wrong with `asked`; `bypass` are the prefixes of paths that are not pages."""
    found: list[FieldError] = []
    if not 0 < asked.timeout_s <= WARM_S_MAX:
        reason = f"must be above 0 and at most {WARM_S_MAX:g}"
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
