"""What a request asks for: in which language, by whom, with which conditions, and which part."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from asgi_isr.types import Headers, Scope

from simulation.pages import HOST, LANGUAGE, NOBODY, VALUES, Page
from simulation.profile import Profile
from simulation.writers import SOURCE

USERS = ("ann", "bob")
UNSAFE = ("POST", "PUT", "DELETE")
RANGES = (b"bytes=0-3", b"bytes=2-", b"bytes=-4", b"bytes=999-")
WRITTEN = b"x-written"
WRITES_BACK = 3  # a client asks for one of the last changes
_NO_VALUE = VALUES[-1]


class Asking(NamedTuple):
    """One request's method and fields; `user` is `NOBODY` without credentials."""

    method: str = "GET"
    value: str = _NO_VALUE
    user: str = NOBODY
    if_none_match: bytes = b""
    part: bytes = b""  # the field `Range`
    if_range: bytes = b""
    written: int | None = None  # the number of a row of the outbox, whose change the client made
    query: bytes = b""  # tells keys apart, and changes nothing else

    def scope(self, page: Page) -> Scope:
        """Return the ASGI scope of this request for `page`."""
        headers: Headers = [(b"host", HOST)]
        if self.value != _NO_VALUE:
            headers.append((LANGUAGE, self.value.encode()))
        if self.user != NOBODY:
            headers.append((b"authorization", self.user.encode()))
        if self.if_none_match:
            headers.append((b"if-none-match", self.if_none_match))
        if self.part:
            headers.append((b"range", self.part))
        if self.if_range:
            headers.append((b"if-range", self.if_range))
        if self.written is not None:
            headers.append((WRITTEN, b"%d" % self.written))
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
            "method": self.method, "scheme": "http", "path": page.path,
            "raw_path": page.path.encode(), "query_string": self.query, "root_path": "",
            "headers": headers, "client": None, "server": None,
        }  # fmt: skip


def draw(rng: random.Random, profile: Profile, *, known: bytes, rows: int) -> Asking:
    """Draw what a client asks.

    `known` is the last validator that one got of this page, `rows` how many were committed.
    """
    asking = Asking(
        value=VALUES[int(rng.random() * len(VALUES))],
        user=rng.choice(USERS) if rng.random() < profile.users else NOBODY,
        query=b"q=%d" % rng.randrange(profile.queries) if profile.queries else b"",
    )
    if profile.writes and rows and rng.random() < profile.writes:
        asking = asking._replace(written=rng.randrange(max(0, rows - WRITES_BACK), rows))
    kind = rng.random()
    if kind < profile.unsafe:
        return asking._replace(method=rng.choice(UNSAFE))
    if kind > 0.92:
        return asking._replace(method="HEAD")
    if kind > 0.77:
        return asking._replace(if_none_match=known)
    if kind > 0.72:
        if_range = known if rng.random() < 0.5 else b""
        return asking._replace(part=rng.choice(RANGES), if_range=if_range)
    return asking


def written(headers: Headers) -> tuple[str, int] | None:
    """Return source and number of the row that a request names, as the cache asks for them."""
    return next(((SOURCE, int(value)) for name, value in headers if name == WRITTEN), None)


def given(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Return language and user that a request names, as the app reads them."""
    value = headers.get(LANGUAGE, _NO_VALUE.encode()).decode()
    return value, headers.get(b"authorization", NOBODY.encode()).decode()
