"""Tags and keys: pages and events must agree on every name."""

import random
from urllib.parse import quote

import pytest
from asgi_isr.keys import (
    EVERYTHING,
    PATH_CHARS_MAX,
    PATH_DEPTH_MAX,
    TAG_CHARS_MAX,
    canonical_tag,
    event_path_tag,
    event_tag,
    event_tags,
    page_key,
    page_tags,
    path_problem,
    path_tags,
    plain_tags,
    tag_problem,
)


@pytest.mark.parametrize(
    "tag",
    ["a", "*", "currency:usd", "Currency:USD", "day:2026-10-30", "!", "~;", "a" * TAG_CHARS_MAX],
)
def test_valid_tags(tag: str) -> None:
    """Visible ASCII without a comma, up to the limit, is a tag."""
    assert tag_problem(tag) is None


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("", "empty"),
        ("a" * (TAG_CHARS_MAX + 1), "257 characters"),
        ("a,b", "','"),
        ("a b", "' '"),
        ("a\tb", "contains"),
        ("a\n", "contains"),
        ("a\x7f", "contains"),
        ("währung", "'ä'"),
        ("通貨", "'通'"),
    ],
)
def test_invalid_tags_say_what_is_wrong(tag: str, reason: str) -> None:
    """A tag that Cache-Tag or a CDN could not carry is refused, and the reason names the flaw."""
    assert reason in (tag_problem(tag) or "")


@pytest.mark.parametrize(
    "path",
    ["/", "/*", "/pairs/usd/eur", "/pairs/usd/*", "/a%20b", "/für", "/".ljust(PATH_CHARS_MAX, "a")],
)
def test_valid_paths(path: str) -> None:
    """A path begins with a slash; it may be encoded or not, and end in a wildcard."""
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "start"),
        ("pairs/usd", "start"),
        ("*", "start"),
        ("https://host/pairs", "start"),
        ("/" + "a" * PATH_CHARS_MAX, "1025 characters"),
        ("/a?b=1", "query"),
        ("/a#b", "fragment"),
        ("/a\nb", "control"),
        ("/a\x7f", "control"),
    ],
)
def test_invalid_paths_say_what_is_wrong(path: str, reason: str) -> None:
    """A path that could match no page is refused, and the reason names the flaw."""
    assert reason in (path_problem(path) or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/Pairs/USD", "/pairs/usd"),
        ("/a%20b", "/a b"),
        ("/f%C3%BCr", "/für"),
        ("/f%c3%bcr", "/f%C3%BCr"),
        ("/F%C3%9CR", "/für"),
        ("/%70airs", "/pairs"),
        ("/a%2Fb", "/a/b"),
        ("/a~b", "/a%7Eb"),
        ("/straße", "/STRASSE"),
        ("/a+b", "/a%2Bb"),
    ],
)
def test_spellings_of_a_path_are_one_tag(one: str, other: str) -> None:
    """Percent-encoding and case do not matter, for pages and events alike."""
    assert event_path_tag(one) == event_path_tag(other)
    assert set(path_tags(one)) == set(path_tags(other))


def test_paths_that_differ_are_different_tags() -> None:
    """A trailing slash, a plus and a doubled slash make another page."""
    paths = ["/a", "/a/", "/a/b", "//a", "/a+b", "/a b", "/"]
    assert len({event_path_tag(path) for path in paths}) == len(paths)


def test_tags_of_a_page() -> None:
    """A page carries everything, each of its prefixes, its path and its named tags, once each."""
    assert page_tags("/pairs/USD/eur", ["Currency:USD", "currency:usd", "latest"]) == (
        EVERYTHING,
        "path:/*",
        "path:/pairs/*",
        "path:/pairs/usd/*",
        "path:/pairs/usd/eur",
        "currency:usd",
        "latest",
    )


def test_tags_of_an_event() -> None:
    """An event raises its tags and one tag for each path, in canonical form."""
    assert event_tags(["Day:2026-10-30", "*"], ["/Pairs/*", "/years/2026"]) == {
        "day:2026-10-30",
        EVERYTHING,
        "path:/pairs/*",
        "path:/years/2026",
    }


def test_prefix_does_not_hit_its_neighbours() -> None:
    """`/pairs/usd/*` hits what lies below, not `/pairs/usd` itself or `/pairs/usdx/…`."""
    tag = event_path_tag("/pairs/usd/*")
    assert tag in path_tags("/pairs/usd/")
    assert tag in path_tags("/pairs/usd/eur/2026")
    assert tag not in path_tags("/pairs/usd")
    assert tag not in path_tags("/pairs/usdx/eur")


def test_prefixes_are_bounded_in_depth() -> None:
    """A deep page has a bounded number of tags, and a deeper prefix still hits it."""
    deep = "/x" * (PATH_DEPTH_MAX + 5)
    assert len(path_tags(deep)) == PATH_DEPTH_MAX + 2
    assert event_path_tag("/x" * (PATH_DEPTH_MAX + 3) + "/*") in path_tags(deep)


def test_every_page_is_hit_by_its_path_its_prefixes_and_everything() -> None:
    """For any path, an event for it, for each prefix of it, or for `*` hits its page."""
    rng = random.Random(20261030)
    alphabet = "abzABZ09-._~ äÄßİ通/é€😀()*'"
    for _ in range(500):
        parts = [
            "".join(rng.choices(alphabet, k=rng.randint(1, 6))) for _ in range(rng.randint(1, 20))
        ]
        path = "/" + "/".join(parts)
        tags = set(path_tags(path))
        assert EVERYTHING in tags
        cuts = [index + 1 for index, char in enumerate(path) if char == "/"]
        below = [path[:cut] for cut in cuts]
        events = [path, quote(path), *(f"{start}*" for start in below)]
        events += [f"{quote(start)}*" for start in below]
        for event in events:
            assert event_path_tag(event) in tags, (path, event)


def test_canonical_forms_are_stable() -> None:
    """Canonicalising twice changes nothing more."""
    for tag in ["Currency:USD", "STRASSE", "a"]:
        assert canonical_tag(canonical_tag(tag)) == canonical_tag(tag)
    for path in ["/F%C3%9CR/A%20b", "/Straße", "/x/y"]:
        once = event_path_tag(path).removeprefix("path:")
        assert event_path_tag(once) == event_path_tag(path)


@pytest.mark.parametrize(
    ("host", "path", "query", "key"),
    [
        ("", "/a", "", "/a"),
        ("", "/a", "b=1", "/a?b=1"),
        ("example.com", "/a", "b=1", "example.com/a?b=1"),
    ],
)
def test_page_keys(host: str, path: str, query: str, key: str) -> None:
    """A key tells host, path and query apart."""
    assert page_key(host, path, query) == key


@pytest.mark.parametrize("served", ["/50%", "/a%2Fb", "/a b", "/é", "/%", "/%41"])
def test_event_hits_the_page_however_it_is_written(served: str) -> None:
    """The path in an address bar, percent-encoded, meets the decoded path that the server gives."""
    assert event_path_tag(quote(served)) in path_tags(served)
    assert event_path_tag(served) in path_tags(served)


def test_path_that_is_not_unicode_is_refused() -> None:
    """Arguments that are no text are named, not sent."""
    assert "not Unicode" in (path_problem("/\udcff") or "")


def test_plain_tags_are_read_as_each_alone() -> None:
    """Tags that are read together give what each gives alone; what needs a closer look gets it."""
    rng = random.Random(5)
    pieces = ["a", "B", ":", "/", "path:", "PATH:/", "%41", ",", "\u212a", "ß", " ", "*", "x" * 255]
    together = 0
    for _ in range(5_000):
        names = ["".join(rng.choices(pieces, k=rng.randrange(4))) for _ in range(rng.randrange(5))]
        alone = [event_tag(name) for name in names]
        plain = plain_tags(names)
        if plain is not None:
            together += 1
            assert [(tag, None) for tag in plain] == alone
        elif names:
            assert any(problem or "path:" in tag for tag, problem in alone)
    assert together > 100
