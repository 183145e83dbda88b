"""Cache groups (RFC 9875): names that responses of one origin share, and that end them together.

A group is a tag below `group:` and its origin, so that it needs nothing of its own in the index.
Groups are compared by case; tags are not, so that at worst one group too many is invalidated.
"""

import hashlib
from urllib.parse import quote

from asgi_isr.http import structured_fields as structured
from asgi_isr.http.fields import values
from asgi_isr.keys import EVERYTHING, TAG_CHARS_MAX
from asgi_isr.types import Headers

GROUPS_MAX = 64  # of one response; RFC 9875 asks for 32 at least
# By one answer: what an event may hold, less its paths.
INVALIDATED_MAX = 900
INVALIDATED_CHARS_MAX = 24 * 1024
CACHE_GROUPS = b"cache-groups"
_INVALIDATION = b"cache-group-invalidation"


def _tag(group: str, origin: str) -> str:
    tag = f"group:{quote(origin, safe=':/[]')}/{quote(group, safe='')}"
    if len(tag) <= TAG_CHARS_MAX:
        return tag
    return f"group:#{hashlib.blake2b(tag.encode(), digest_size=16).hexdigest()}"


def of_response(headers: Headers, origin: str) -> tuple[str, ...] | None:
    """Return the tags of a response's groups; None where it names more than `GROUPS_MAX`."""
    named = structured.strings(values(headers, CACHE_GROUPS)) or []
    if len(named) > GROUPS_MAX:
        return None
    return tuple(_tag(group, origin) for group in named)


def invalidated(headers: Headers, origin: str) -> tuple[str, ...]:
    """Return the tags of the groups that an answer to an unsafe request invalidates.

    Of more than an event may hold none is forgotten: then it is everything.
    """
    named = structured.strings(values(headers, _INVALIDATION)) or []
    tags = tuple(dict.fromkeys(_tag(group, origin) for group in named))
    if len(tags) > INVALIDATED_MAX or sum(map(len, tags)) > INVALIDATED_CHARS_MAX:
        return (EVERYTHING,)
    return tags
