"""Canonical tags and keys: the one place where pages and events agree on names.

A tag names something that pages depend on (`currency:usd`). A path (`path:/pairs/usd/eur`), each of
its prefixes (`path:/pairs/usd/*`) and everything (`*`) are tags too, so that an invalidation is
always a set of tags. Tags are case-folded. Their limits are those of CloudFront's cache tags.

What no page can be at, or what would mean another page, is one rule: `path_problem` for a path as
an event or a client writes it, `page_path_problem` for the path of a request. A page at such a path
is never stored, so that an event need not reach it. All work here is linear in the length.
"""

import hashlib
import re
from binascii import a2b_qp
from collections.abc import Collection, Iterable
from itertools import chain

__all__ = [
    "EVERYTHING",
    "PAGE_TAGS_MAX",
    "PATH_CHARS_MAX",
    "PATH_DEPTH_MAX",
    "TAG_CHARS_MAX",
    "canonical_tag",
    "event_path",
    "event_path_tag",
    "event_tag",
    "event_tags",
    "literal_path",
    "page_key",
    "page_path_problem",
    "page_tags",
    "path_problem",
    "path_tags",
    "plain_path",
    "tag_problem",
]

EVERYTHING = "*"
TAG_CHARS_MAX = 256
PAGE_TAGS_MAX = 50  # tags that a response may name in Cache-Tag; path tags come on top
PATH_CHARS_MAX = 1024  # decoded
PATH_DEPTH_MAX = 16  # prefixes deeper than this are folded into the prefix of this depth

_PATH = "path:"
_BELOW = "/*"
_WRITTEN_CHARS_MAX = 12 * PATH_CHARS_MAX  # percent-encoded, a character takes up to twelve
_TAG = re.compile(rf"[!-+\--~]{{1,{TAG_CHARS_MAX}}}")  # visible ASCII without ','
_TAGS = re.compile(rf"{_TAG.pattern}(?:,{_TAG.pattern})*")
_NO_TAG_CHAR = re.compile(r"[^!-+\--~]")
_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_ENCODED_AGAIN = re.compile("%(?:25)+(?=[0-9A-Fa-f]{2})")  # `%2525..`: what stands behind is meant
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DOTS = re.compile(r"/\.\.?(?:/|\Z)")


def tag_problem(tag: str) -> str | None:
    """Say why `tag` is no valid tag, or return None if it is one."""
    if _TAG.fullmatch(tag):
        return None
    if not tag:
        return "is empty; name what changed, such as 'currency:usd'"
    if len(tag) > TAG_CHARS_MAX:
        return f"has {len(tag)} characters; at most {TAG_CHARS_MAX} are allowed"
    found = _NO_TAG_CHAR.search(tag)
    shown = found[0] if found else ""
    return f"contains {shown!r}; only visible ASCII characters without ',' are allowed"


def path_problem(path: str) -> str | None:
    """Say why no page can be at `path` as it is written, or return None if one can."""
    return _read(path)[1]


def page_path_problem(path: str, raw_path: bytes | None) -> str | None:
    """Say why a page at the decoded `path` of a request is not stored, or return None.

    It is judged as its client wrote it (`raw_path`). Where that is not known, or is that of another
    path because somebody between rewrote it, a '%' may be one or an escape: then it is not stored.
    """
    if "?" in path:
        return "has an encoded '?': its key would be that of another path and its query"
    if raw_path is not None:
        written = raw_path.decode(errors="surrogateescape")
        if _read(written)[0] == _read(path)[0]:
            return path_problem(written)
    return path_problem(path.replace("#", "%23"))


def _read(path: str) -> tuple[str, str | None]:
    """Return `path` in plain text, and why no page can be there, or None.

    However often it is encoded, it is decoded in one pass: encoders write a '%' as '%25', so what
    stands behind a row of those is what was meant.
    """
    if not path.startswith("/"):
        return path, "does not start with '/'"
    if len(path) > _WRITTEN_CHARS_MAX:
        return path, _too_long(path)
    plain = path
    if "%" in path:
        if _NO_ESCAPE.search(path):
            return path, "has a '%' that begins no escape; a percent sign itself is '%25'"
        once = _ENCODED_AGAIN.sub("%", path) if "%25" in path else path
        octets = once.encode(errors="surrogatepass")
        try:
            # Percent-encoding is quoted-printable with another sign, and that is decoded fast.
            plain = a2b_qp(octets.replace(b"=", b"=3D").replace(b"%", b"=")).decode()
        except UnicodeDecodeError:
            return path, "is not Unicode"
    if "?" in path or "#" in path:
        return plain, "has a query or fragment; a path invalidates every query, so leave it out"
    return plain, _plain_problem(plain)


def _plain_problem(plain: str) -> str | None:
    if len(plain) > PATH_CHARS_MAX:
        return _too_long(plain)
    if "\ufffd" in plain or (not plain.isprintable() and _NO_TEXT.search(plain)):
        return "contains a control character, or is not Unicode"
    if "//" in plain or "\\" in plain or ("/." in plain and _DOTS.search(plain)):
        return "has an empty segment, '.', '..' or a backslash: it may mean another path"
    if "%" in plain and _ESCAPE.search(plain):
        return "is encoded more than once, and not the same way each time"
    return None


def _too_long(path: str) -> str:
    return f"has {len(path)} characters; at most {PATH_CHARS_MAX} are allowed"


def canonical_tag(tag: str) -> str:
    """Return the form under which `tag` is indexed."""
    return tag.casefold()


def plain_path(path: str) -> str:
    """Return `path` decoded; as it is where it cannot be."""
    return _read(path)[0]


def literal_path(path: str) -> str:
    """Return the decoded `path` of a request as an event names this very path, no wildcard."""
    return path.replace("%", "%25").replace("*", "%2A").replace("?", "%3F").replace("#", "%23")


def _canonical(plain: str) -> str:
    """Fold every spelling of a path into one that has no '*'."""
    folded = plain.casefold()
    if "%" in folded or "*" in folded:
        return folded.replace("%", "%25").replace("*", "%2A")
    return folded


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
    digest = hashlib.blake2b(path.encode(errors="surrogatepass"), digest_size=16)
    return f"{_PATH}#{digest.hexdigest()}"


def path_tags(path: str) -> tuple[str, ...]:
    """Return the tags that every page at `path` carries: everything, each prefix, the path."""
    canonical = _canonical(plain_path(path))
    prefixes = (_path_tag(f"{prefix}*") for prefix in _prefixes(canonical))
    return (EVERYTHING, *prefixes, _path_tag(canonical))


def event_path(path: str) -> tuple[str, str | None]:
    """Return the tag that an event's path stands for, and why no page has it, or None."""
    below = path.endswith(_BELOW)
    plain, problem = _read(path[:-1] if below else path)
    canonical = _canonical(plain)
    if not below:
        return _path_tag(canonical), problem
    prefixes = _prefixes(canonical)
    return _path_tag(f"{prefixes[-1]}*") if prefixes else EVERYTHING, problem


def event_path_tag(path: str) -> str:
    """Return the tag that an event's path stands for.

    `/pairs/usd/eur` is that page, `/pairs/usd/*` every page below `/pairs/usd/`.
    """
    return event_path(path)[0]


def event_tag(name: str) -> tuple[str, str | None]:
    """Return the tag of the index for a tag of an event, and why no page carries it, or None.

    A path may stand among the tags, as `path:/a`.
    """
    if _TAG.fullmatch(name) is None:
        return canonical_tag(name), tag_problem(name)
    tag = name.lower()
    return event_path(tag.removeprefix(_PATH)) if tag.startswith("path:/") else (tag, None)


def plain_tags(names: Collection[str]) -> list[str] | None:
    """Return the tags of the index for tags of an event, or None where one needs a closer look.

    That is one that no page carries, and a path. Most events have neither.
    """
    joined = ",".join(names)
    folded = joined.lower()
    if _TAGS.fullmatch(joined) is None or "path:/" in folded:
        return None
    tags = folded.split(",")
    return tags if len(tags) == len(names) else None


def event_tags(tags: Iterable[str], paths: Iterable[str]) -> frozenset[str]:
    """Return every tag of the index that an event with these tags and paths raises."""
    return frozenset(tag for tag, _ in chain(map(event_tag, tags), map(event_path, paths)))


def page_tags(path: str, named: Iterable[str]) -> tuple[str, ...]:
    """Return all tags of the page at `path` whose response named `named` in `Cache-Tag`."""
    return tuple(dict.fromkeys((*path_tags(path), *map(canonical_tag, named))))


def page_key(host: str, path: str, query: str) -> str:
    """Return the key of a page; `host` is empty where pages do not depend on it."""
    return f"{host}{path}?{query}" if query else f"{host}{path}"
