"""The simulated site: its pages, what each is made of, and how a response tells that.

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

    @property
    def name(self) -> str:
        """The name of this page alone, which an unsafe request to its path invalidates."""
        return self.names[-1]


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


class Content(NamedTuple):
    """What a page is made of: versions, the value it varies on, and for whom it was made."""

    vector: Vector
    value: str  # of `Accept-Language`, or `ANY` where the page does not vary
    user: str  # or `NOBODY`


ANY = NOBODY = "-"
VALUES = ("de", "en", "none")  # the last one: a request that names no language
LANGUAGE = b"accept-language"
POLICY = b"x-policy"  # the directives that a page was made with, also where the answer hides them


def etag(content: Content) -> bytes:
    """Return the validator of a page of this content, without quotes."""
    versions = ".".join(map(str, content.vector))
    return f"{versions}/{content.value}/{content.user}".encode()


def body(page: Page, content: Content) -> bytes:
    """Return the page's text."""
    return b"%s %s\n" % (page.path.encode(), etag(content))


def content_of(validator: bytes) -> Content:
    """Read the content back from an `ETag` field."""
    versions, value, user = validator.strip(b' "').decode().split("/")
    return Content(tuple(map(int, versions.split("."))), value, user)


def is_public(policy: bytes) -> bool:
    """Say whether a page with these directives also answers requests with credentials."""
    return any(sign in policy for sign in (b"public", b"s-maxage", b"must-revalidate"))


def is_asked(policy: bytes) -> bool:
    """Say whether each use of a page with these directives asks the app first."""
    return policy in {b"no-cache", b"max-age=0"}
