"""Items of a CloudFront invalidation; pure.

`#tag` is every response that named the tag in the header of the distribution's `CacheTagConfig`,
`/path` one object, `/path*` every object whose path and query begin so.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence

import msgspec

from perfcheck_revalidator.cdn.names import Names, spellings

__all__ = ["ITEMS_MAX", "WILDCARDS_MAX", "caller_reference", "chunks_of", "items_of"]

# Amazon CloudFront Developer Guide, "Quotas": files in active invalidations of one distribution,
# and active wildcards of one distribution; other invalidations may be under way.
ITEMS_MAX = 3000
WILDCARDS_MAX = 10  # of 15
_ITEM_CHARS_MAX = 4000  # of one item
_EVERY_OBJECT = "/*"


def items_of(names: Names) -> list[str]:
    """Return the items that purge `names`, sorted; each is billed as one path.

    A page is purged with every query, so it takes a wildcard, which takes `/pairs/usd-old` along
    with `/pairs/usd`. More wildcards than CloudFront takes at a time become wider ones: too much
    is purged then, never too little.
    """
    if names.everything:
        return [_EVERY_OBJECT]
    exact: set[str] = set()
    wildcards: set[str] = set()  # without the '*'
    for path in names.below:
        wildcards.update(_short(spelling) for spelling in spellings(path))
    for path in names.pages:
        for spelling in map(_short, spellings(path)):
            # '/pairs/*' would purge far more than the page '/pairs/' and its queries.
            slash = spelling.endswith("/")
            wildcards.add(f"{spelling}?" if slash else spelling)
            if slash:
                exact.add(spelling)
    widened = _widened(wildcards)
    if "/" in widened:
        return [_EVERY_OBJECT]
    alone = (path for path in exact if not _covered(path, widened))
    return sorted([*(f"#{tag}" for tag in names.tags), *alone, *(f"{path}*" for path in widened)])


def chunks_of(items: Sequence[str]) -> list[list[str]]:
    """Return `items` in pieces that fit into one invalidation each."""
    return [list(items[start : start + ITEMS_MAX]) for start in range(0, len(items), ITEMS_MAX)]


def caller_reference(
    event_ids: Iterable[str], *, again: bool, chunk: int, items: Sequence[str]
) -> str:
    """Return the `CallerReference` of one chunk: the same purge has the same, another has another.

    CloudFront answers a second request with the same reference and items with the invalidation
    that it has. The items are part of it, as it refuses the same reference with others.
    """
    what = msgspec.json.encode([sorted(event_ids), again, chunk, list(items)])
    return hashlib.sha256(what).hexdigest()


def _short(path: str) -> str:
    """Cut what CloudFront would refuse for its length; what is cut ends as a wildcard."""
    if len(path) < _ITEM_CHARS_MAX:
        return path
    cut = path[: _ITEM_CHARS_MAX - 1]
    return cut[: cut.rfind("%")] if "%" in cut[-2:] else cut


def _covered(path: str, wildcards: Collection[str]) -> bool:
    return any(path.startswith(wildcard) for wildcard in wildcards)


def _widened(wildcards: set[str]) -> set[str]:
    """Drop wildcards that others cover; over `WILDCARDS_MAX` widen the deepest to their folders."""
    while True:
        wildcards = _uncovered(wildcards)
        if len(wildcards) <= WILDCARDS_MAX:
            return wildcards
        deepest = max(path.count("/") - path.endswith("/") for path in wildcards)
        wildcards = {
            path if path.count("/") - path.endswith("/") < deepest else _folder(path)
            for path in wildcards
        }


def _uncovered(wildcards: set[str]) -> set[str]:
    """Return the wildcards that no shorter one covers."""
    kept: list[str] = []
    for path in sorted(wildcards):  # what covers a path sorts before it, with nothing between
        if not kept or not path.startswith(kept[-1]):
            kept.append(path)
    return set(kept)


def _folder(path: str) -> str:
    """Return the folder that holds `path`: `/a/` of `/a/b`, `/a/b/` and `/a/?`."""
    return path[: path.rstrip("/").rfind("/") + 1] or "/"
