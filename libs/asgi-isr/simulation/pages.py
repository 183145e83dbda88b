"""The simulated site: its pages, what each is made of, and how a response tells its versions.

A page is made of one datum for each of its tags (everything, its path and that path's prefixes
too), so that an event about a tag says of each page from which version of that datum on it is new.
"""

from typing import NamedTuple

from asgi_isr.keys import event_tags, path_tags

Vector = tuple[int, ...]  # the version of each of a page's names, in their order
HOST = b"site"


class Page(NamedTuple):
    """One page: its path, the tags it names in `Cache-Tag`, and all names it depends on."""

    path: str
    tags: tuple[str, ...]
    names: tuple[str, ...]


def _page(path: str, *tags: str) -> Page:
    return Page(path, tags, (*tags, *path_tags(path)))


PAGES = (_page("/x/ab", "a", "b"), _page("/a", "a"), _page("/b", "b"), _page("/x/a", "a"))
BY_PATH = {page.path: page for page in PAGES}
NAMES = tuple(dict.fromkeys(name for page in PAGES for name in page.names))

# What writers change together: tags and paths of the event that tells of it.
CHANGES: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = (
    (6, ("a",), ()),
    (6, ("b",), ()),
    (3, ("a", "b"), ()),
    (2, (), ("/x/ab",)),
    (2, (), ("/x/*",)),
    (1, ("b",), ("/a",)),
    (1, ("*",), ()),
)
WEIGHTS = tuple(weight for weight, _, _ in CHANGES)
KINDS = tuple(
    "everything" if "*" in tags else "prefix" if any(path.endswith("*") for path in paths)
    else "path" if paths else "tags" if len(tags) > 1 else "tag"
    for _, tags, paths in CHANGES
)  # fmt: skip


def names_of(change: int) -> tuple[str, ...]:
    """Return the names that a change of this number raises, in one order in every process."""
    _, tags, paths = CHANGES[change]
    return tuple(sorted(event_tags(tags, paths)))


def etag(vector: Vector) -> bytes:
    """Return the validator of a page made of these versions, without quotes."""
    return ".".join(map(str, vector)).encode()


def body(page: Page, vector: Vector) -> bytes:
    """Return the page's text."""
    return b"%s %s\n" % (page.path.encode(), etag(vector))


def vector_of(validator: bytes) -> Vector:
    """Read the versions back from an `ETag` field or from the last word of a body."""
    plain = validator.strip(b' \n"').removeprefix(b"W/").strip(b'"').removesuffix(b"-gzip")
    return tuple(int(number) for number in plain.split(b"."))
