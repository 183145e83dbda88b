"""Rendering popular pages again: `POST /api/cache/warm` of the frontend-bff, scope `cache:warm`."""

import msgspec

__all__ = ["WARM_PATHS_MAX", "WarmResult", "WarmWrite", "WarmedPage"]

WARM_PATHS_MAX = 100


class WarmWrite(msgspec.Struct, frozen=True, kw_only=True):
    """Which pages to render once the log was applied up to `seq`; the most popular first."""

    version: int = 1
    seq: int
    paths: list[str]
    timeout_s: float = 10.0


class WarmedPage(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one page: its status, and the `Cache-Status` of the answer."""

    path: str
    status: int
    cache_status: str


class WarmResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer: the pages in the order asked for; those that time did not allow are missing."""

    pages: list[WarmedPage]
