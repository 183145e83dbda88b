"""Fields made to cost: time and memory stay in proportion to their length.

Processor time of this process is measured, not the clock, and its limit is generous: 100 KB take
milliseconds, while work in the square of the length takes many seconds.
"""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import product

import pytest
from asgi_isr import keys
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import Invalidation, decode
from asgi_isr.http import cache_control as directives
from asgi_isr.http import codings, dates, groups, ranges, vary
from asgi_isr.http import structured_fields as structured
from asgi_isr.http.fields import matches, members, stored_headers

CHARS = 100_000
CPU_S_MAX = 1.0
PEAK_BYTES_MAX = 400  # for each byte of the field

READERS: dict[str, Callable[[str], object]] = {
    "Vary": lambda text: vary.names([text]),
    "Vary, lines": lambda text: vary.names([text[:100]] * 1000),
    "a field that varies": lambda text: vary.variant_key("/", ("x",), [(b"x", text.encode())]),
    "Accept-Language": lambda text: vary.variant_key(
        "/", ("accept-language",), [(b"accept-language", text.encode())]
    ),
    "Accept-Language, short": lambda text: [
        vary.variant_key("/", ("accept-language",), [(b"accept-language", part.encode())])
        for part in parts(text, vary.NORMAL_CHARS_MAX)
    ],
    "Cache-Control": lambda text: directives.cache_control([text]),
    "Cache-Control, argument": lambda text: directives.cache_control([f'private="{text}']),
    "CDN-Cache-Control": lambda text: directives.targeted([text]),
    "CDN-Cache-Control, string": lambda text: structured.dictionary([f'a="{text}']),
    "CDN-Cache-Control, list": lambda text: structured.dictionary([f"a=({text}"]),
    "CDN-Cache-Control, to the bound": lambda text: structured.dictionary(
        parts(text, structured.FIELD_CHARS_MAX)[:1]
    ),
    "Cache-Groups": lambda text: groups.of_response([(b"cache-groups", text.encode())], "http://h"),
    "Cache-Groups, to the bound": lambda text: groups.invalidated(
        [(b"cache-group-invalidation", text[: structured.FIELD_CHARS_MAX].encode())], "http://h"
    ),
    "Cache-Tag": lambda text: members([(b"cache-tag", text.encode())], b"cache-tag"),
    "a tag": keys.tag_problem,
    "a path": lambda text: keys.path_problem(f"/{text}"),
    "a path of a request": lambda text: keys.page_path_problem(f"/{text}", f"/{text}".encode()),
    "paths of an event": lambda text: list(
        Invalidation(paths=tuple(f"/{part}" for part in parts(text, 1000))).parts()
    ),
    "an event": lambda text: unreadable(f'{{"tags":["{text[:60_000]}"]}}'.encode()),
    "an event, its fields": lambda text: unreadable(f"{{{text[:60_000]}}}".encode()),
    "Connection": lambda text: stored_headers([(b"connection", text.encode())]),
    "Accept-Encoding": lambda text: codings.accepted(text.encode()),
    "Accept-Encoding, short": lambda text: [
        codings.accepted(part.encode()) for part in parts(text, codings.ACCEPT_BYTES_MAX)
    ],
    "Content-Type": lambda text: codings.worth_coding(f"application/{text}", CHARS),
    "Range": lambda text: ranges.part(b"bytes=" + text.encode(), 1000),
    "Range, behind": lambda text: ranges.part(b"bytes=1-" + text.encode(), 1000),
    "If-None-Match": lambda text: matches(text.encode(), b'"zz"'),
    "If-None-Match, weak": lambda text: matches(b'W/"' + text.encode(), b'W/"zz"'),
    "Age": lambda text: directives.age_s([(b"age", text.encode())]),
    "max-age": lambda text: directives.seconds({"max-age": text}, "max-age"),
    "a date": lambda text: directives.date([(b"date", text.encode())], b"date"),
    "a date, its form": lambda text: dates.parse(f"Sun, 06 Nov 1994 08:49:37{text}"),
}
# Repeated to the length: delimiters, halves of pairs, and members as long lists have them.
PIECES = (
    *'"\\,;= \t()[]{}:%@?*-19aW/', "\x00", "\xa0",
    '""', '\\"', '"\\', '"a",', '"a" ', ", ", " ,", ' "', '",', "a,", "a=", "a=1,", "a;a", ";a=1",
    "=,", ",;", ", =", ";q=", "a;q=0.1,", "a;q=0.5;", "x-", "gzip,", "(a)", "()", "(a ", "a=(",
    '%"', "%25", "::", ":YQ==:,", "@1,", "?1,", "1.1", "1-", "0-1,", "bytes=", 'W/"', 'W/"a",',
    "a\t", "a ", "\\,", 'a="', 'a="b', 'a="b",', "Sun, ", "GMT", "0",
)  # fmt: skip


def unreadable(body: bytes) -> object:
    """Read an event; return why it cannot be."""
    try:
        return list(decode(body).parts())
    except InvalidEventError as error:
        return error


def parts(text: str, chars: int) -> list[str]:
    """Return `text` in pieces of `chars` characters."""
    return [text[at : at + chars] for at in range(0, len(text), chars)]


def hostile(chars: int) -> Iterator[str]:
    """Return texts of `chars` characters: each piece repeated, open and closed by others."""
    for piece in PIECES:
        yield (piece * (chars // len(piece) + 1))[:chars]
    # What comes before decides which pattern is tried, what comes behind that it fails.
    for first, piece, last in product(
        (",", "a,", '"'), (" ", "\t", "a", '"', "\\"), ("=", '"', ";")
    ):
        yield f"{first}{piece * (chars - 2)}{last}"


@pytest.mark.parametrize("field", READERS)
def test_time_is_linear(field: str) -> None:
    """No text of 100 KB takes a second."""
    read = READERS[field]
    for text in hostile(CHARS):
        began = time.process_time()
        read(text)
        assert time.process_time() - began < CPU_S_MAX, f"{text[:20]!r} … {text[-3:]!r}"


@pytest.mark.parametrize("field", READERS)
def test_memory_is_linear(field: str) -> None:
    """No text takes more than a few objects for each of its bytes."""
    read = READERS[field]
    for text in hostile(CHARS // 10):
        tracemalloc.start()
        try:
            read(text)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < PEAK_BYTES_MAX * len(text), f"{text[:20]!r} … {text[-3:]!r}"


DISTINCT = ", ".join(f"x{number}" for number in range(120_000))  # a megabyte


@pytest.mark.parametrize("field", READERS)
def test_a_megabyte_of_different_members_is_read(field: str) -> None:
    """A list of 120,000 members, none like the other, is read or refused in seconds at most."""
    began = time.process_time()
    READERS[field](DISTINCT)
    assert time.process_time() - began < 5 * CPU_S_MAX


def test_dates_are_remembered_only_where_they_are_short() -> None:
    """What cannot be a date for its length takes no place among those that are remembered."""
    before = dates._parsed.cache_info().currsize
    for number in range(100):
        assert dates.parse(f"{number}".rjust(34)) is None
    assert dates._parsed.cache_info().currsize == before
    for number in range(3000):
        dates.parse(f"{number}")
    assert dates._parsed.cache_info().currsize <= 1024


@pytest.mark.parametrize(
    "piece", ["%", "25", "%25", "%2525", "/", "//", "%2F", "ß", "İ", "%c3", "a"]
)
def test_paths_of_the_greatest_length(piece: str) -> None:
    """A path that is encoded as often as its length allows has its tags in little time."""
    path = ("/%" + piece * keys.PATH_CHARS_MAX)[: keys.PATH_CHARS_MAX]
    began = time.process_time()
    tags = keys.path_tags(path)
    assert time.process_time() - began < CPU_S_MAX / 4
    assert len(tags) <= keys.PATH_DEPTH_MAX + 2
    assert keys.event_path_tag(path) in tags
