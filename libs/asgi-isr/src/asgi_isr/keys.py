"""Canonical tags and keys: the one place where pages and events agree on names.

A tag names something that pages depend on (`currency:usd`). A path (`path:/pairs/usd/eur`), each of
its prefixes (`path:/pairs/usd/*`) and everything (`*`) are tags too, so that an invalidation is
always a set of tags. Tags are case-folded. Their limits are those of CloudFront's cache tags.
"""

import hashlib
from collections.abc import Iterable
from urllib.parse import quote, unquote

__all__ = [
    "EVERYTHING",
    "PAGE_TAGS_MAX",
    "PATH_CHARS_MAX",
    "PATH_DEPTH_MAX",
    "TAG_CHARS_MAX",
    "canonical_tag",
    "event_path_tag",
    "event_tags",
    "page_key",
    "page_tags",
    "path_problem",
    "path_tags",
    "tag_problem",
]

EVERYTHING = "*"
TAG_CHARS_MAX = 256
PAGE_TAGS_MAX = 50  # tags that a response may name in Cache-Tag; path tags come on top
PATH_CHARS_MAX = 1024
PATH_DEPTH_MAX = 16  # prefixes deeper than this are folded into the prefix of this depth

_PATH = "path:"
_SAFE = "/:@!$&'()+,;=-._~"  # without '*': that of a path is none of its characters


def tag_problem(tag: str) -> str | None:
    """Say why `tag` is no valid tag, or return None if it is one."""
    if not tag:
        return "is empty; name what changed, such as 'currency:usd'"
    if len(tag) > TAG_CHARS_MAX:
        return f"has {len(tag)} characters; at most {TAG_CHARS_MAX} are allowed"
    for char in tag:
        if not "!" <= char <= "~" or char == ",":
            return f"contains {char!r}; only visible ASCII characters without ',' are allowed"
    return None


def path_problem(path: str) -> str | None:
    """Say why `path` is no valid path of an event, or return None if it is one."""
    if not path.startswith("/"):
        return "does not start with '/'"
    if len(path) > PATH_CHARS_MAX:
        return f"has {len(path)} characters; at most {PATH_CHARS_MAX} are allowed"
    if "?" in path or "#" in path:
        return "has a query or fragment; a path invalidates every query, so leave it out"
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in path):
        return "contains a control character, or is not Unicode"
    return None


def canonical_tag(tag: str) -> str:
    """Return the form under which `tag` is indexed."""
    return tag.casefold()


def _canonical_path(path: str) -> str:
    """Fold every spelling of a path into one.

    A page's path comes decoded from the server, an event's as its publisher wrote it; decoding both
    until nothing is left to decode makes them meet, at worst by invalidating one page too many.
    """
    while (plain := unquote(path)) != path:
        path = plain
    return quote(path.casefold(), safe=_SAFE)


def _prefixes(path: str) -> list[str]:
    """Return `/`, `/a/`, `/a/b/` for `/a/b/c`, at most PATH_DEPTH_MAX of them."""
    found: list[str] = []
    end = path.find("/")
    while end >= 0 and len(found) < PATH_DEPTH_MAX:
        found.append(path[: end + 1])
        end = path.find("/", end + 1)
    return found


def _path_tag(path: str) -> str:
    """Return the tag of a canonical path; a digest where it is long, as indexes hold many."""
    tag = _PATH + path
    if len(tag) <= TAG_CHARS_MAX:
        return tag
    return f"{_PATH}#{hashlib.blake2b(path.encode(), digest_size=16).hexdigest()}"


def path_tags(path: str) -> tuple[str, ...]:
    """Return the tags that every page at `path` carries: everything, each prefix, the path."""
    canonical = _canonical_path(path)
    prefixes = (_path_tag(f"{prefix}*") for prefix in _prefixes(canonical))
    return (EVERYTHING, *prefixes, _path_tag(canonical))


def event_path_tag(path: str) -> str:
    """Return the tag that an event's path stands for.

    `/pairs/usd/eur` is that page, `/pairs/usd/*` every page below `/pairs/usd/`.
    """
    if not path.endswith("/*"):
        return _path_tag(_canonical_path(path))
    prefixes = _prefixes(_canonical_path(path[:-1]))
    return _path_tag(f"{prefixes[-1]}*") if prefixes else EVERYTHING


def event_tags(tags: Iterable[str], paths: Iterable[str]) -> frozenset[str]:
    """Return every tag of the index that an event with these tags and paths raises."""
    return frozenset([*map(canonical_tag, tags), *map(event_path_tag, paths)])


def page_tags(path: str, named: Iterable[str]) -> tuple[str, ...]:
    """Return all tags of the page at `path` whose response named `named` in `Cache-Tag`."""
    return tuple(dict.fromkeys((*path_tags(path), *map(canonical_tag, named))))


def page_key(host: str, path: str, query: str) -> str:
    """Return the key of a page; `host` is empty where pages do not depend on it."""
    return f"{host}{path}?{query}" if query else f"{host}{path}"
