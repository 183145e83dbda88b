"""What events name, in the forms that CDNs understand; pure.

The page cache folds every spelling of a path into one (`asgi_isr.keys`). A CDN compares paths as
browsers sent them, so a purge names the spellings that browsers use.
"""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from asgi_isr.keys import EVERYTHING, canonical_tag, plain_path, tag_problem

from perfcheck_revalidator.cdn.port import PurgeEvent

__all__ = ["Names", "names_of", "spellings"]

# What browsers leave as it is in a path (RFC 3986, section 3.3), without '*': it is a wildcard.
_UNENCODED = "/:@!$&'()+,;=-._~"
_PATH_TAG = "path:"


class Names(NamedTuple):
    """The names of several events together, each once and sorted.

    `pages` are paths of single pages, `below` prefixes that end in `/`; both as published.
    Where `everything` is set the others are empty.
    """

    everything: bool
    tags: tuple[str, ...]
    pages: tuple[str, ...]
    below: tuple[str, ...]


_ALL_NAMES = Names(everything=True, tags=(), pages=(), below=())


def names_of(events: Iterable[PurgeEvent]) -> Names:
    """Return what must be purged for `events`.

    No page names path tags (`path:/pairs/*`) in `Cache-Tag`, so an event's count as its paths. One
    that is a digest cannot be turned back, and counts as everything. Tags and paths that no page
    can have are left out: events are read leniently, and a CDN would refuse them with all others.
    """
    tags: set[str] = set()
    paths: set[str] = set()
    for event in events:
        paths.update(event.paths)
        for tag in map(canonical_tag, event.tags):
            if tag.startswith(_PATH_TAG):
                paths.add(tag.removeprefix(_PATH_TAG))
            elif not tag_problem(tag):
                tags.add(tag)
    if EVERYTHING in tags or "/*" in paths or any(path.startswith("#") for path in paths):
        return _ALL_NAMES
    paths = {path for path in paths if path.startswith("/")}
    below = {path[:-1] for path in paths if path.endswith("/*")}
    pages = {path for path in paths if not path.endswith("/*")}
    return Names(
        everything=False,
        tags=tuple(sorted(tags)),
        pages=tuple(sorted(pages)),
        below=tuple(sorted(below)),
    )


def spellings(path: str) -> list[str]:
    """Return how browsers write `path`: as published, as decoded, and in small letters.

    All are percent-encoded where they must be. A cache that compares bytes has no more to go by.
    """
    plain = plain_path(path)
    written = quote(path, safe=_UNENCODED + "%")
    decoded = (quote(text, safe=_UNENCODED, errors="replace") for text in (plain, plain.lower()))
    return list(dict.fromkeys((written, *decoded)))
