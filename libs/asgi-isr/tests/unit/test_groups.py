"""Cache groups as a table of cases (RFC 9875)."""

import pytest
from asgi_isr.http.groups import GROUPS_MAX, INVALIDATED_MAX, invalidated, of_response
from asgi_isr.keys import EVERYTHING, TAG_CHARS_MAX, canonical_tag, tag_problem
from hypothesis import given
from hypothesis import strategies as st

ORIGIN = "https://example.com:8443"


def tags(field: str, origin: str = ORIGIN) -> tuple[str, ...] | None:
    """Return the tags of a response with this `Cache-Groups`."""
    return of_response([(b"Cache-Groups", field.encode())], origin)


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ('"rates"', ("rates",)), ('"a", "b"', ("a", "b")), ('"a";x=1', ("a",)),
        ('"a b,c"', ("a%20b%2Cc",)), ('"a/b"', ("a%2Fb",)), ('"%2F"', ("%252F",)),
        ('"\\"\\\\"', ("%22%5C",)), ('""', ("",)),
        ("", ()), ("rates", ()), ('"a", b', ()), ('"a",', ()), ("*", ()), ("1", ()),
    ],
)  # fmt: skip
def test_groups_of_a_response(field: str, named: tuple[str, ...]) -> None:
    """Each string of the list is a group of this origin; a broken field names none (section 2)."""
    assert tags(field) == tuple(f"group:{ORIGIN}/{name}" for name in named)


def test_lines_are_one_list() -> None:
    """Groups of several fields count together; an event names them alike."""
    fields = [(b"cache-groups", b'"a"'), (b"x", b'"c"'), (b"CACHE-GROUPS", b'"b"')]
    assert of_response(fields, ORIGIN) == tags('"a", "b"')
    fields = [(b"cache-group-invalidation", b'"a"'), (b"Cache-Group-Invalidation", b'"b", "a"')]
    assert invalidated(fields, ORIGIN) == tags('"a", "b"')


def test_absent_fields_name_nothing() -> None:
    """A response without the fields is of no group, and invalidates none."""
    assert of_response([(b"cache-group-invalidation", b'"a"')], ORIGIN) == ()
    assert invalidated([(b"cache-groups", b'"a"')], ORIGIN) == ()


def test_groups_are_bounded() -> None:
    """RFC 9875 asks for 32 groups of 32 characters; a page with more than the bound is refused."""
    assert len(tags(", ".join(f'"{number:032}"' for number in range(GROUPS_MAX))) or ()) == 64
    assert tags(", ".join(f'"{number}"' for number in range(GROUPS_MAX + 1))) is None


def test_no_invalidation_is_forgotten() -> None:
    """An answer may end more groups than a page has; where they are too many, it ends all pages."""
    named = [f'"{number}"' for number in range(INVALIDATED_MAX + 1)]
    some = [(b"cache-group-invalidation", ", ".join(named[:-1]).encode())]
    assert len(invalidated(some, "")) == INVALIDATED_MAX
    too_many = [(b"cache-group-invalidation", ", ".join(named).encode())]
    assert invalidated(too_many, "") == (EVERYTHING,)
    too_long = ", ".join(f'"{number:0240}"' for number in range(INVALIDATED_MAX // 8))
    assert invalidated([(b"cache-group-invalidation", too_long.encode())], "") == (EVERYTHING,)


GROUP = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)


@given(GROUP, GROUP, st.sampled_from(["", ORIGIN, "http://a", "http://a/", "http://a,b"]))
def test_tags_of_groups_are_tags(one: str, other: str, origin: str) -> None:
    """A group's tag is valid, and that of another group only where case alone tells them apart."""
    fields = ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in (one, other)]
    first, second = (canonical_tag(tag) for field in fields for tag in tags(field, origin) or ())
    assert tag_problem(first) is None
    assert len(first) <= TAG_CHARS_MAX
    if one.lower() != other.lower():
        assert first != second


def test_origins_are_told_apart() -> None:
    """No group of one origin is that of another, however it is spelled."""
    seen = {
        tag
        for origin in ("", "http://a", "https://a", "http://a:80", "http://b")
        for name in ("b", "/b", "a/b", "http://a/b", "//a/b")
        for tag in tags(f'"{name}"', origin) or ()
    }
    assert len(seen) == 25
