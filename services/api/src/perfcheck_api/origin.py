"""Where answers come from: which run of which database server, by a name that the log tells too.

A render of a page that met another origin than the log told of last is not kept: that database was
restored, or another has taken its place (rule 13 of the coherence protocol).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

import msgspec
from asgi_isr.events import ORIGIN_HEADER
from perfcheck_chassis.asgi import ASGIApp, Message, Receive, Scope, Send

LOG_SOURCE = "api"  # what the log knows this service by
_HEADER = ORIGIN_HEADER.lower().encode()
# The timeline of a server in recovery is not known here, so what it answers is not kept.
SERVER = """
SELECT system_identifier::text,
    CASE WHEN pg_is_in_recovery() THEN ''
    ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
FROM pg_control_system()
"""


class Server(msgspec.Struct, frozen=True):
    """One run of a database server; `started` is in microseconds since 1970."""

    system: str
    timeline: str
    database: int
    started: int

    @property
    def origin(self) -> str:
        """Return the name by which answers and messages say what they were made from."""
        named = f"{self.system}/{self.timeline}/{self.database}/{self.started}"
        return blake2b(named.encode(), digest_size=8).hexdigest()


_met: ContextVar[set[str] | None] = ContextVar("origins_met", default=None)


def meet(origin: str) -> None:
    """Note that the answer to this request is made from `origin`."""
    met = _met.get()
    if met is not None:
        met.add(origin)


@contextmanager
def meeting() -> Iterator[set[str]]:
    """Give the set of what is met from here on, in this task and those that it starts."""
    met: set[str] = set()
    token = _met.set(met)
    try:
        yield met
    finally:
        _met.reset(token)


class NamesOrigin:
    """ASGI middleware that says in `Cache-Origin` what an answer was made from."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with meeting() as met:

            async def naming(message: Message) -> None:
                if message["type"] == "http.response.start" and met:
                    named = ", ".join(f"{LOG_SOURCE}={origin}" for origin in sorted(met))
                    headers = [*message["headers"], (_HEADER, named.encode())]
                    message = {**message, "headers": headers}
                await send(message)

            await self.app(scope, receive, naming)
