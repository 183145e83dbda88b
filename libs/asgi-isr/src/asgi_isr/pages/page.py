"""Pages as they are stored."""

import msgspec

from asgi_isr.http.fields import LAST_MODIFIED
from asgi_isr.types import Headers


class Page(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A response as it is stored: whole, with the fence and tags by which each reader judges it.

    `created` is when the origin made or last confirmed it, in seconds since 1970: the time of its
    receipt less its age then (RFC 9111, section 4.2.3). `bodies` maps a content coding to the body
    in that coding. `etag` is the field's value; `given` says that the app set it, so that the app
    can be asked whether it still holds. `vary` names the request fields that selected it.
    """

    key: str
    status: int
    headers: Headers
    etag: bytes
    given: bool
    bodies: dict[str, bytes]
    tags: tuple[str, ...]
    fence: int
    created: float
    ttl_s: float
    swr_s: float
    sie_s: float
    vary: tuple[str, ...] = ()
    validate: bool = False  # not to be used without asking the app first (`no-cache`)
    public: bool = False  # may also answer requests with credentials (section 3.5)

    @property
    def validators(self) -> Headers:
        """The fields of a request that asks the app whether this page still holds (4.3.1)."""
        asked: Headers = [(b"if-none-match", self.etag)] if self.given else []
        asked += [(b"if-modified-since", at) for name, at in self.headers if name == LAST_MODIFIED]
        return asked

    @property
    def size(self) -> int:
        """Bytes of this page in memory: bodies, headers and tags with their objects."""
        bodies = sum(map(len, self.bodies.values()))
        headers = sum(len(name) + len(value) + 48 for name, value in self.headers)
        return bodies + headers + sum(len(tag) + 90 for tag in self.tags) + len(self.key) + 700


class Varied(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What stands at the key of a page that varies: the request fields that select a variant."""

    key: str
    vary: tuple[str, ...]
