"""Variants as tables of cases (RFC 9111, section 4.1)."""

from typing import Any

import pytest
from asgi_isr.http.vary import (
    FIELDS_VARIED_MAX,
    NORMAL_CHARS_MAX,
    SEPARATOR,
    names,
    primary,
    variant_key,
)
from asgi_isr.testing import request
from asgi_isr.types import Headers
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("fields", "varying"),
    [
        ([], ()), ([""], ()), ([" , ,"], ()), (["Accept-Encoding"], ()),
        (["Accept-Language"], ("accept-language",)), (["X, a"], ("a", "x")),
        (["a,X , x"], ("a", "x")),
        (["b", "a, accept-encoding"], ("a", "b")), (["x-a!#$%&'+.^_`|~9"], ("x-a!#$%&'+.^_`|~9",)),
        (["*"], None), (["a, *"], None), (["a", " * "], None), (["Cookie"], None),
        (["a, AUTHORIZATION"], None), (["a b"], None), (["a; q=1"], None), (['"a"'], None),
        (["a:b"], None), (["Cookie; Authorization"], None), (["a\x00"], None), (["é"], None),
        (["\xa0a"], None), (["a\n"], None), (["*a"], ("*a",)),
        ([",".join(f"x{number}" for number in range(FIELDS_VARIED_MAX + 1))], None),
        ([",".join("x" for _ in range(FIELDS_VARIED_MAX + 1))], ("x",)),
    ],
)  # fmt: skip
def test_names(fields: list[str], varying: tuple[str, ...] | None) -> None:
    """`Vary` names fields; what is `*`, personal, too much or no field name never matches."""
    assert names(fields) == varying


def key(vary: str, *values: str) -> str:
    """Return the key of the variant of `/a` that a request with these values selects."""
    return variant_key("/a", (vary,), [(vary.title().encode(), one.encode()) for one in values])


@pytest.mark.parametrize(
    ("vary", "one", "other"),
    [
        ("x", ["a,b"], ["a, b"]), ("x", ["a,b"], ["a", "b"]), ("x", ["a,b"], ["\ta ,, b ,"]),
        ("x", ['"a, b",c'], ['"a, b" , c']), ("x", ["a"], [" a "]),
        ("accept-language", ["de, en;q=0.5"], ["en;q=0.5,de"]),
        ("accept-language", ["DE"], ["de"]), ("accept-language", ["de;q=1"], ["de"]),
        ("accept-language", ["de;q=1.000"], ["de"]),
        ("accept-language", ["de;q=0.50"], ["de; q=0.5"]),
        ("accept-language", ["de", "en;q=0.5"], ["de,en;q=0.500"]),
        ("accept-language", ["de,en"], ["en,de"]),
    ],
)  # fmt: skip
def test_one_meaning_is_one_variant(vary: str, one: list[str], other: list[str]) -> None:
    """Lines are joined, space around members goes, weights order languages."""
    assert key(vary, *one) == key(vary, *other)


@pytest.mark.parametrize(
    ("vary", "one", "other"),
    [
        ("x", ["a"], ["b"]), ("x", ["a"], []), ("x", [""], []), ("x", ["a,b"], ["b,a"]),
        ("x", ["a"], ["A"]), ("x", ["a b"], ["ab"]), ("x", ["a,b"], ["a b"]),
        ("x", ['"a,b"'], ['"a, b"']), ("x", ['"a,,b"'], ['"a,b"']), ("x", ['"a","b"'], ['"a,b"']),
        ("x", [r'"a\", b"'], [r'"a\",b"']), ("x", ["a"], ["\x85a"]), ("x", ["a"], ["\xa0a"]),
        ("x", ["de;q=0.5"], ["de; q=0.5"]),
        ("accept-language", ["de"], ["en"]), ("accept-language", ["de;q=0.5"], ["de"]),
        ("accept-language", ["de;q=0.5,en"], ["de,en;q=0.5"]),
        ("accept-language", ["de;q=0"], ["de"]), ("accept-language", ["de"], ["de-at"]),
        ("accept-language", ["de;q=nan"], ["de;q=0"]),
        ("accept-language", ["de;0.5"], ["de;q=0.5"]),
        ("accept-language", ["de;q=1e0"], ["de"]), ("accept-language", ["de;q=2"], ["de;q=1"]),
        ("accept-language", ["de;"], ["de"]), ("accept-language", ["de;q="], ["de"]),
    ],
)  # fmt: skip
def test_different_meanings_are_different_variants(
    vary: str, one: list[str], other: list[str]
) -> None:
    """What an app could answer differently, or cannot be read, is not taken for the same."""
    assert key(vary, *one) != key(vary, *other)


def test_values_of_one_field_are_not_those_of_another() -> None:
    """Each value counts for its own field, and only fields that are named count."""
    vary = ("a", "b")
    one: Headers = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert variant_key("/", vary, one) == variant_key("/", vary, one[:2])
    assert variant_key("/", vary, one) == variant_key("/", vary, [*reversed(one)])
    assert variant_key("/", vary, one) != variant_key("/", vary, [(b"a", b"2"), (b"b", b"1")])
    assert variant_key("/", vary, [(b"a", b"")]) != variant_key("/", vary, [(b"b", b"")])


def test_long_values_are_compared_as_they_are() -> None:
    """Beyond a bound no work is done for a variant, but different values stay different."""
    members = ["de"] * (NORMAL_CHARS_MAX // 2)
    assert key("x", ",".join(members)) != key("x", ", ".join(members))
    assert key("x", ",".join(members)) != key("x", ",".join([*members, "en"]))


def test_primary() -> None:
    """The key of a variant leads back to that of its page; others stand for themselves."""
    assert variant_key("test/a?b=1", (), [(b"x", b"1")]) == "test/a?b=1"
    assert primary(variant_key("test/a?b=1", ("x",), [(b"x", b"1")])) == "test/a?b=1"
    assert primary("test/a?b=1") == "test/a?b=1"


MEMBER = st.text('ab;=" \\é', max_size=6)


@given(st.lists(st.lists(MEMBER, max_size=4), min_size=1, max_size=4), st.sampled_from(["", " "]))
def test_lines_and_space_never_matter(lines: list[list[str]], space: str) -> None:
    """However a list of members without quotes is written, it selects one variant."""
    lines = [[member.replace('"', "") for member in line] for line in lines]
    joined = ",".join(member.strip(" ") for line in lines for member in line if member.strip(" "))
    written = [f"{space},{space}".join(line) for line in lines]
    assert key("x", *written) == key("x", joined)


@given(st.text('ab,"\\ ', max_size=12), st.text('ab,"\\ ', max_size=12))
def test_different_letters_are_different_variants(one: str, other: str) -> None:
    """Values that differ in more than commas and space never select the same variant."""
    if one.replace(" ", "").replace(",", "") != other.replace(" ", "").replace(",", ""):
        assert key("x", one) != key("x", other)


@given(st.text("de-,;q=01. ", max_size=30))
def test_no_language_is_an_error(value: str) -> None:
    """Whatever arrives selects one variant, the same each time."""
    assert key("accept-language", value) == key("accept-language", value)


async def test_no_path_is_the_key_of_a_variant(site: Any) -> None:
    """A client that writes the key of a variant into a path gets and puts nothing there."""
    app = await site.instance(shared=False)
    site.app.headers["/a"] = [(b"vary", b"x")]
    selected = variant_key("test/a", ("x",), [(b"x", b"1")]).removeprefix("test")
    forged = [selected, selected.replace("?", ""), "/a\n" + selected.partition(SEPARATOR)[2]]
    await request(app, "/a", headers={"x": "2"})  # from now on `/a` is known to vary
    for path in forged:
        await request(app, path)
    answer = await request(app, "/a", headers={"x": "1"})
    assert answer.body == b"page /a"
    for path in forged:
        assert (await request(app, path, headers={"x": "1"})).body == b"page " + path.encode()
    again = await request(app, "/a", headers={"x": "1"})
    assert (again.body, "hit" in again.cache_status) == (b"page /a", True)
