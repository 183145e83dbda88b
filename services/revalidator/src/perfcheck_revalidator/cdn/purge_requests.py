"""The requests that purge names from a cache that speaks PURGE and BAN; pure.

`PURGE` names keys, separated by spaces, in `xkey-purge` (Varnish with vmod xkey) and the same in
`Surrogate-Key` (Fastly and what follows it). `BAN` brings regular expressions (PCRE): `Ban-Tag`
over the field `Cache-Tag` of stored responses, `Ban-Path` over their path and query.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from asgi_isr.keys import plain_path

from perfcheck_revalidator.cdn.names import Names

__all__ = ["FIELD_BYTES_MAX", "PurgeRequest", "Style", "requests_of"]

Style = Literal["xkey", "ban"]

FIELD_BYTES_MAX = 4096
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_]")
_TAG_FORM = r"(?i)(?:^|,)\s*(?:{})\s*(?:,|$)"
_PATH_FORM = "(?i)^(?:{})"
_PAGE_END = r"(?:\?|$)"


class PurgeRequest(NamedTuple):
    """One request to every node: its method and fields."""

    method: str
    headers: dict[str, str]


def requests_of(names: Names, style: Style) -> list[PurgeRequest]:
    """Return the requests that purge `names`; no field is longer than `FIELD_BYTES_MAX`."""
    if names.everything:
        return [PurgeRequest("BAN", {"Ban-Path": "^"})]
    return [*_tag_requests(names.tags, style), *_path_requests(names)]


def _tag_requests(tags: Sequence[str], style: Style) -> list[PurgeRequest]:
    if style == "xkey":
        fields = _joined(tags, separator=" ", room=FIELD_BYTES_MAX)
        return [
            PurgeRequest("PURGE", {"xkey-purge": keys, "Surrogate-Key": keys}) for keys in fields
        ]
    room = FIELD_BYTES_MAX - len(_TAG_FORM)
    fields = _joined(map(_escaped, tags), separator="|", room=room)
    return [PurgeRequest("BAN", {"Ban-Tag": _TAG_FORM.format(tags)}) for tags in fields]


def _path_requests(names: Names) -> list[PurgeRequest]:
    room = FIELD_BYTES_MAX - len(_PATH_FORM)
    expressions = [_path_expression(path, _PAGE_END, room) for path in names.pages]
    expressions += [_path_expression(path, "", room) for path in names.below]
    fields = _joined(expressions, separator="|", room=room)
    return [PurgeRequest("BAN", {"Ban-Path": _PATH_FORM.format(paths)}) for paths in fields]


def _path_expression(path: str, end: str, room: int) -> str:
    """Return an expression for every spelling of `path`: any case, percent-encoded or not.

    Letters and digits are expected as they are. What is too long is cut, and purges what begins so.
    """
    atoms: list[str] = []
    for byte in plain_path(path).encode(errors="surrogateescape"):
        char = chr(byte)
        escaped = char if char == "/" else _escaped(char)
        atoms.append(char if escaped == char else f"(?:{escaped}|%{byte:02x})")
        room -= len(atoms[-1])
        if room < len(end):
            return "".join(atoms[:-1])
    return "".join(atoms) + end


def _escaped(text: str) -> str:
    """Return an expression for `text` that also passes through a VCL string and ban's tokens."""
    return _NOT_PLAIN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _joined(parts: Iterable[str], *, separator: str, room: int) -> list[str]:
    """Return `parts` joined into as few strings of at most `room` characters as they fit into."""
    fields: list[str] = []
    for part in parts:
        if fields and len(fields[-1]) + len(separator) + len(part) <= room:
            fields[-1] += separator + part
        else:
            fields.append(part)
    return fields
