"""Which variant of the pages is asked for: rendering mode and language, both in the path."""

from typing import Literal

import msgspec

__all__ = ["Mode", "Site", "site_of", "sites"]

Mode = Literal["isr", "ssr"]
_LANGUAGE = "en"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One variant; `prefix` stands before every path of it, empty for the cached English one."""

    mode: Mode
    language: str
    prefix: str


_SITES = (
    Site(mode="isr", language=_LANGUAGE, prefix=""),
    Site(mode="ssr", language=_LANGUAGE, prefix="/ssr"),
)


def sites() -> tuple[Site, ...]:
    """Return all variants; a language other than English adds `/ja` and `/ssr/ja` here."""
    return _SITES


def site_of(path: str) -> Site:
    """Return the variant that a request's path belongs to: the longest prefix that fits."""
    fitting = [site for site in _SITES if path == site.prefix or path.startswith(f"{site.prefix}/")]
    return max(fitting, key=lambda site: len(site.prefix), default=_SITES[0])
