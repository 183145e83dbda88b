"""Cache directives as tables of cases (RFC 9111, sections 1.2.2, 5.1 and 5.2; RFC 9213)."""

import pytest
from asgi_isr.http.cache_control import (
    SECONDS_MAX,
    age_s,
    cache_control,
    date,
    of_response,
    seconds,
    targeted,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("fields", "directives"),
    [
        ([], {}), ([""], {}), ([" , ,"], {}), (["no-store"], {"no-store": ""}),
        (["max-age=60"], {"max-age": "60"}), (["MAX-AGE=60"], {"max-age": "60"}),
        (['max-age="60"'], {"max-age": "60"}), (["a,b , c"], {"a": "", "b": "", "c": ""}),
        (["a", "b=1"], {"a": "", "b": "1"}), (["a=1, a=2"], {"a": "1"}), (["a", "a=2"], {"a": ""}),
        (['private="x, no-store", b'], {"private": "x, no-store", "b": ""}),
        (['a="b\\"c, d"'], {"a": 'b\\"c, d'}), (["a="], {"a": ""}), (["a=b=c"], {"a": "b=c"}),
        # What the grammar has no place for stays in the argument.
        (["max-age = 60"], {"max-age": " = 60"}), (["max-age= 60"], {"max-age": " 60"}),
        (["max-age 60"], {"max-age": " 60"}),
        (["max-age=60; no-store"], {"max-age": "60; no-store"}),
        (['max-age="60'], {"max-age": '"60'}), (['a="b" c'], {"a": '"b" c'}),
        # A quote that is not closed hides nothing that comes before it.
        (['no-store, a="b, c'], {"no-store": "", "a": '"b, c'}),
        (['"no-store"'], {"no-store": '"'}), (["=no-store"], {"no-store": ""}),
        ([";no-store"], {"no-store": ""}), (["\t\tno-store\t"], {"no-store": ""}),
        (["a\\"], {"a\\": ""}), (['a="\\'], {"a": '"\\'}),
    ],
)  # fmt: skip
def test_cache_control(fields: list[str], directives: dict[str, str]) -> None:
    """Directives have lower-case names; of one given twice the first counts (section 4.2.1)."""
    assert cache_control(fields) == directives


@pytest.mark.parametrize(
    ("fields", "directives"),
    [
        (["max-age=60"], {"max-age": "60"}), (["no-store"], {"no-store": ""}),
        (["max-age=60, no-store=?0"], {"max-age": "60"}), (["no-store=?1"], {"no-store": ""}),
        (["max-age=60;x=1"], {"max-age": "60"}), (["max-age=1, max-age=2"], {"max-age": "2"}),
        (["max-age=-5"], {"max-age": "-5"}), (['private="x"'], {"private": "x"}),
        (["max-age=60", "no-store"], {"max-age": "60", "no-store": ""}),
        ([], None), ([""], None), (["max-age=60,"], None), (["MAX-AGE=60"], None),
        (["max-age"], None), (["max-age=?1"], None), (['max-age="60"'], None),
        (["max-age=1.5"], None), (["max-age=x"], None), (["max-age=@60"], None),
        (["s-maxage=(60)"], None), (["stale-if-error=:aGk=:"], None),
        (["max-age=60, &"], None), (["max-age = 60"], None),
    ],
)  # fmt: skip
def test_targeted(fields: list[str], directives: dict[str, str] | None) -> None:
    """A targeted field is a dictionary; broken, empty or of wrong types it is ignored (2.1)."""
    assert targeted(fields) == directives


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("0", 0), ("60", 60), ("060", 60), ("0000000000000060", 60), (str(2**31), 2**31),
        ("99999999999999999999", SECONDS_MAX), ("00", 0),
        ("", 0), ("-1", 0), ("+1", 0), ("1.5", 0), (" 60", 0), ("60 ", 0), ("6e1", 0),
        ("60s", 0), ("\u0666", 0), ("²", 0), ("0x10", 0), ("1_0", 0),
    ],
)  # fmt: skip
def test_seconds(argument: str, expected: float) -> None:
    """Seconds are digits, at most 2**31; anything else is over at once (section 4.2.1)."""
    assert seconds({"max-age": argument}, "max-age") == expected
    assert seconds({"max-age": argument}, "s-maxage") is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0), (["60"], 60), ([" 60 "], 60), (["60, 5"], 60), (["60", "5"], 60), (["0"], 0),
        (["00000000000090"], 90), (["99999999999999"], SECONDS_MAX), ([""], 0), (["-60"], 0),
        (["60.5"], 0), (["60;x"], 0), (["sixty"], 0), (["\u0666"], 0),
    ],
)  # fmt: skip
def test_age(values: list[str], expected: float) -> None:
    """The first `Age` counts; one that is no number of seconds is ignored (section 5.1)."""
    assert age_s([(b"Age", one.encode()) for one in values]) == expected


def test_dates_of_a_response() -> None:
    """A date field is read without the space around it; absent or broken it is none."""
    made = b" Sun, 06 Nov 1994 08:49:37 GMT "
    assert date([(b"Date", made)], b"date") == 784_111_777
    assert date([(b"date", b"0")], b"date") is None
    assert date([], b"date") is None


@pytest.mark.parametrize(
    ("targeting", "expected"),
    [
        (b"max-age=60", ({"max-age": "60"}, True)), (b"no-store", ({"no-store": ""}, True)),
        (b"max-age=x", ({"max-age": "9"}, False)), (b"", ({"max-age": "9"}, False)),
    ],
)  # fmt: skip
def test_the_field_for_this_cache_goes_first(
    targeting: bytes, expected: tuple[dict[str, str], bool]
) -> None:
    """`CDN-Cache-Control` replaces `Cache-Control`, unless it cannot be read (RFC 9213, 2.2)."""
    fields = [(b"Cache-Control", b"max-age=9"), (b"CDN-Cache-Control", targeting)]
    assert of_response(fields) == expected


@given(st.text('ab,;=" \t\\\x85é1', max_size=30))
def test_no_field_is_an_error(text: str) -> None:
    """Whatever arrives is read; a name is in lower case and holds no delimiter."""
    targeted([text])
    for name in cache_control([text]):
        assert name == name.lower()
        assert not set(name) & set(' \t=,;"')


TOKEN = st.text("abc-", min_size=1, max_size=8)


@given(st.dictionaries(TOKEN, st.none() | st.integers(0, 10**6) | st.text("a, =;", max_size=5)))
def test_directives_that_were_written_are_read_back(written: dict[str, str | int | None]) -> None:
    """Flags, numbers and quoted arguments, however they are spaced, come back."""
    parts = [
        name if value is None else f'{name}="{value}"' if isinstance(value, str)
        else f"{name}={value}" for name, value in written.items()
    ]  # fmt: skip
    expected = {name: "" if value is None else str(value) for name, value in written.items()}
    assert cache_control([" , ".join(parts)]) == expected
    assert cache_control(parts) == expected
