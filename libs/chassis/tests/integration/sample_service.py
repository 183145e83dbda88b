"""A small service as the tests start it, with settings from the environment."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from litestar import Litestar, Request, get, post
from litestar.params import FromQuery, JSONBody
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.http import Health, RequestTimeLimit, create_litestar
from perfcheck_chassis.process import serve
from perfcheck_chassis.settings import ServiceSettings, environment, load
from perfcheck_chassis.timing import ServerTiming


class SampleSettings(ServiceSettings, frozen=True, kw_only=True):
    service: ClassVar[str] = "sample"

    start_fails: bool = False


@get("/who")
async def who(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Say which process answers, and over which of the caller's ports."""
    client = request.client
    return {"pid": os.getpid(), "port": client.port if client else None}


@get("/slow")
async def slow(seconds: FromQuery[float]) -> dict[str, float]:
    """Answer after so many seconds."""
    logging.getLogger("sample").info("slow request began")
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@post("/echo")
async def echo(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
    """Give back the body."""
    return data


@get("/crash")
async def crash() -> None:
    """Die without a word, as a segmentation fault would."""
    os._exit(3)


def from_environment() -> ASGIApp:
    """Build the application; the server calls this in its worker."""
    settings = load(SampleSettings, environment())
    health = Health(settings.service, settings.instance_id)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        if settings.start_fails:
            raise RuntimeError("the database has no schema")
        logging.getLogger("sample").info("lifespan entered")
        yield
        logging.getLogger("sample").info("lifespan left")

    app = create_litestar(
        [who, slow, echo, crash], health=health, lifespan=[lifespan], body_bytes_max=100
    )
    return RequestTimeLimit(ServerTiming(app))


if __name__ == "__main__":
    own = load(SampleSettings, environment())
    serve("sample_service:from_environment", own, own.service)
    sys.stderr.write("served\n")
