"""Which paths no page can have: one rule for publishers, the log and the cache."""

import random
from urllib.parse import quote, unquote

import pytest
from asgi_isr.keys import (
    PATH_CHARS_MAX,
    event_path_tag,
    literal_path,
    page_path_problem,
    path_problem,
    path_tags,
    plain_path,
)

WRITTEN_BADLY = [
    ("/a//b", "empty segment"),
    ("//a", "empty segment"),
    ("/a//", "empty segment"),
    ("/a%2F/b", "empty segment"),
    ("/a/%2Fb", "empty segment"),
    ("/a/../b", "'..'"),
    ("/..", "'..'"),
    ("/a/%2E%2e/b", "'..'"),
    ("/a%2F..%2Fb", "'..'"),
    ("/a/.", "'.'"),
    ("/./a", "'.'"),
    ("/a/%252e/b", "'.'"),
    ("/a\\b", "backslash"),
    ("/a%5Cb", "backslash"),
    ("/a%zz", "begins no escape"),
    ("/a%", "begins no escape"),
    ("/a%4", "begins no escape"),
    ("/100%", "begins no escape"),
    ("/a\x00b", "control"),
    ("/a%00b", "control"),
    ("/a%0Ab", "control"),
    ("/a%250Ab", "control"),
    ("/a%7F", "control"),
    ("/a%C2%85", "control"),
    ("/a%FF", "not Unicode"),
    ("/a%C3", "not Unicode"),
    ("/a%ED%A0%80", "not Unicode"),  # half of a surrogate pair
    ("/a%C0%AF", "not Unicode"),  # an overlong '/'
    ("/a\ud800", "not Unicode"),
    ("/a%EF%BF%BD", "not Unicode"),  # what decoders put in the place of it
    ("/%25%34%31", "more than once"),
    ("/" + "%C3%A9" * PATH_CHARS_MAX, "1025 characters"),
]


@pytest.mark.parametrize(("path", "reason"), WRITTEN_BADLY)
def test_path_that_no_page_can_have(path: str, reason: str) -> None:
    """A path that may mean another, or is none, is refused in every spelling."""
    assert reason in (path_problem(path) or "")
    assert path_problem(f"{path}/*") is not None


@pytest.mark.parametrize(
    "path",
    ["/50%25", "/a/...", "/a/.b", "/a..b", "/.well-known/x", "/..a", "/é\u200d", "/a%2Fb",
     "/a%252Fb", "/" + "%C3%A9" * (PATH_CHARS_MAX - 1), "/\u00a0", "/%25zz"],
)  # fmt: skip
def test_path_that_a_page_can_have(path: str) -> None:
    """Dots in names, a percent sign, any script, and what was encoded twice are fine."""
    assert path_problem(path) is None
    assert page_path_problem(unquote(path), path.encode()) is None


@pytest.mark.parametrize(
    ("path", "raw", "stored"),
    [
        ("/100%", b"/100%25", True),
        ("/100%", b"/100%", False),
        ("/100%", None, False),
        ("/a%zz", b"/a%25zz", True),
        ("/a%41", b"/a%2541", True),
        ("/tags/c#", b"/tags/c%23", True),
        ("/tags/c#", None, True),
        ("/a?b", b"/a%3Fb", False),
        ("/a%3Fb", b"/a%3Fb", True),  # a proxy's
        ("/für", b"/f%C3%BCr", True),
        ("/für", None, True),
        ("/caf\ufffd", b"/caf%E9", False),
        ("/new", b"/old/%zz", True),  # somebody between has rewritten it
        ("/a//b", b"/a%2F%2Fb", False),
        ("/a//b", b"/rewritten", False),
        ("/caf%C3%A9", b"/caf%C3%A9", True),  # a proxy's: as it was sent
    ],
)
def test_path_of_a_request(path: str, raw: bytes | None, stored: object) -> None:
    """It is judged as its client wrote it; where that is not known, in doubt it is not stored."""
    assert (page_path_problem(path, raw) is None) is stored


def fixpoint(path: str) -> str:
    """Decode until nothing is left to decode: slow, and what is meant."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


def escaped(rng: random.Random, text: str) -> str:
    """Return every octet of `text` as an escape, in either case."""
    octets = text.encode("utf-8", "surrogatepass")
    return "".join(rng.choice(("%{:02X}", "%{:02x}")).format(octet) for octet in octets)


def again(rng: random.Random, text: str) -> str:
    """Encode escapes once more, as a careless publisher does."""
    return text.replace("%", "%" + "25" * rng.randint(1, 3))


PIECES = (
    "a", "Z", "/", ".", "..", "*", " ", "~", "=", "==", "=41", "+", "ß", "İ", "ŉ", "K", "ΐ", "ﬁ",
    "é", "e\u0301", "ж", "通", "ไทย", "א", "م", "😀", "\u200d", "%25", "%2525", "%2F", "%2e", "%41",
    "%zz", "%", "%4", "%C3", "%A9", "%C3%25A9", "%c0%af", "%ED%A0%80", "%F0%9F%98%80", "%25%34%31",
    "\x00", "\n", "\x7f", "\x85", "\ud800", "\\", "?", "#",
)  # fmt: skip


def hostile(rng: random.Random, pieces: int) -> str:
    """Return a path of the grammar: pieces, some of them encoded, some again."""
    parts = rng.choices(PIECES, k=pieces)
    return "/" + "".join(
        rng.choice((str, str, lambda text: escaped(rng, text), lambda text: again(rng, text)))(part)
        for part in parts
    )


@pytest.mark.parametrize("seed", range(20))
def test_one_pass_decodes_as_all_passes_do(seed: int) -> None:
    """What the rule admits is decoded, in one pass, to what decoding without end would give."""
    rng = random.Random(seed)
    admitted = 0
    for _ in range(500):
        path = hostile(rng, rng.randint(1, 6))
        plain = fixpoint(path)
        if path_problem(path) is None and "\ufffd" not in plain:
            admitted += 1
            assert plain_path(path) == plain, path
            assert event_path_tag(path) in path_tags(plain)
    assert admitted > 50


@pytest.mark.parametrize("seed", range(20))
def test_page_that_is_stored_is_reached_by_its_events(seed: int) -> None:
    """However a stored page's path is written, an event for it, and its own change, reach it."""
    rng = random.Random(seed)
    stored = 0
    for _ in range(500):
        path = "/" + "".join(rng.choices(PIECES, k=rng.randint(1, 5)))
        raw = quote(path.encode("utf-8", "surrogatepass")).encode()
        if page_path_problem(path, raw) is not None:
            continue
        stored += 1
        tags = path_tags(path)
        spellings = [raw.decode(), literal_path(path), again(rng, raw.decode())]
        if "%" not in path:
            spellings += [f"/{escaped(rng, path[1:])}", f"/{escaped(rng, path[1:].upper())}"]
        for spelling in spellings:
            assert path_problem(spelling) is None, spelling
            assert event_path_tag(spelling) == tags[-1], (path, spelling)
    assert stored > 100
