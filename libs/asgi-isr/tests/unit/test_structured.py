"""Structured fields as a table of cases with their section of RFC 9651."""

import pytest
from asgi_isr.http.structured_fields import (
    FIELD_CHARS_MAX,
    Date,
    Display,
    Item,
    Token,
    dictionary,
    strings,
)
from hypothesis import given
from hypothesis import strategies as st

DICTIONARIES: list[tuple[str, list[str], dict[str, Item]]] = [
    ("3.2", ["a"], {"a": True}),
    ("3.2", ["a=1, b=2"], {"a": 1, "b": 2}),
    ("3.2", ["a=1,b=2 ,\tc"], {"a": 1, "b": 2, "c": True}),
    ("3.2: lines are joined", ["a=1", "b=2"], {"a": 1, "b": 2}),
    ("3.2: the last counts", ["a=1, a=2"], {"a": 2}),
    ("3.2: a boolean by its parameters", ["a;x=1, b"], {"a": True, "b": True}),
    ("3.1.2", ['a=1;x;y=2; z="q", b'], {"a": 1, "b": True}),
    ("3.1.2: keys", ["*a-b_c.d*=1"], {"*a-b_c.d*": 1}),
    ("3.1.1", ['a=(1 "b" c)'], {"a": [1, "b", "c"]}),
    ("3.1.1", ["a=()"], {"a": []}),
    ("3.1.1", ["a=(  1;p   2 );q"], {"a": [1, 2]}),
    ("3.3.1", ["a=-0, b=007, c=999999999999999"], {"a": 0, "b": 7, "c": 999_999_999_999_999}),
    ("3.3.2", ["a=1.5, b=-0.125, c=123456789012.5"], {"a": 1.5, "b": -0.125, "c": 123456789012.5}),
    ("3.3.3", [r'a="x\"y\\z"'], {"a": r'x"y\z'}),
    ("3.3.3", ['a="b, c;d=e"'], {"a": "b, c;d=e"}),
    ("3.3.4", ["a=text/html, b=*, c=a:b"], {"a": "text/html", "b": "*", "c": "a:b"}),
    ("3.3.5", ["a=:aGk=:, b=::"], {"a": b"hi", "b": b""}),
    ("4.2.7: no padding", ["a=:aGk:"], {"a": b"hi"}),
    ("3.3.6", ["a=?1, b=?0"], {"a": True, "b": False}),
    ("3.3.7", ["a=@1659578233, b=@-1"], {"a": 1659578233, "b": -1}),
    ("3.3.8", ['a=%"f%c3%bcr \\ %25"'], {"a": "für \\ %"}),
    ("4.2: outer spaces", ["  a=1  "], {"a": 1}),
]  # fmt: skip
NO_DICTIONARIES = [
    ("4.2: absent", []), ("4.2: empty", [""]), ("4.2: empty", ["  "]),
    ("4.2.2: a comma behind", ["a=1,"]), ("4.2.2", ["a=1,,b=2"]), ("4.2.2", [",a=1"]),
    ("4.2.2: an empty line", ["a=1", ""]), ("4.2.2", ["a=1 b=2"]), ("4.2.2", ["a=1; , b"]),
    ("4.2.3.3: key", ["A=1"]), ("4.2.3.3: key", ["1=1"]), ("4.2.3.3: key", ["-a"]),
    ("4.2.2: space", ["a =1"]), ("4.2.2: space", ["a= 1"]), ("4.2.2", ["a="]),
    ("4.2.1.2", ["a=(1 2"]), ("4.2.1.2", ["a=(1,2)"]), ("4.2.1.2", ["a=(1\t2)"]),
    ("4.2.1.2", ['a=("b"c)']), ("4.2.1.2: nested", ["a=((1))"]), ("4.2.1.2", ["a=1)"]),
    ("4.2.3.2", ["a=1;"]), ("4.2.3.2", ["a=1;B"]), ("4.2.3.2", ["a=1;b="]), ("4.2.3.2", ["a=1 ;b"]),
    ("4.2.4", ["a=1."]), ("4.2.4", ["a=.5"]), ("4.2.4", ["a=1.1234"]), ("4.2.4", ["a=-"]),
    ("4.2.4", ["a=--1"]), ("4.2.4", ["a=+1"]), ("4.2.4", ["a=1e3"]), ("4.2.4", ["a=1.2.3"]),
    ("4.2.4: 16 digits", ["a=1234567890123456"]), ("4.2.4", ["a=1234567890123.5"]),
    ("4.2.5", ['a="b']), ("4.2.5", ["a='b'"]), ("4.2.5", [r'a="\b"']), ("4.2.5", ['a="b\\']),
    ("4.2.5", ['a="\t"']), ("4.2.5", ['a="\x7f"']), ("4.2.5: split", ['a="b', 'c"\x00']),
    ("4.2.6", ["a=b@c"]), ("4.2.6", ["a={b}"]), ("4.2.6", ["a=#b"]),
    ("4.2.7", ["a=:aGk=", "b"]), ("4.2.7", ["a=:a b:"]), ("4.2.7", ["a=:aGk.:"]),
    ("4.2.7", ["a=:=aGk:"]), ("4.2.7", ["a=:A:"]), ("4.2.7", ["a=:"]),
    ("4.2.8", ["a=?2"]), ("4.2.8", ["a=?"]), ("4.2.8", ["a=?true"]),
    ("4.2.9", ["a=@1.5"]), ("4.2.9", ["a=@"]), ("4.2.9", ["a=@x"]),
    ("4.2.10", ['a=%"%C3%BC"']), ("4.2.10", ['a=%"%ff"']), ("4.2.10", ['a=%"%2"']),
    ("4.2.10", ['a=%"b']), ("4.2.10", ["a=%b"]), ("4.2.10", ['a=% "b"']),
    ("4.2: ASCII", ['a="ü"']), ("4.2: ASCII", ["a=\uff11"]), ("4.2", ["a\n"]), ("4.2", ["a\x00"]),
]  # fmt: skip


@pytest.mark.parametrize(("section", "fields", "members"), DICTIONARIES)
def test_dictionaries(section: str, fields: list[str], members: dict[str, Item]) -> None:
    """A dictionary is read as its section says, without its parameters."""
    assert dictionary(fields) == members, section


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", int), ("1.0", float), ('"a"', str), ("a", Token), ("?1", bool), ("@1", Date),
        ('%"a"', Display), (":YQ==:", bytes), ("(a)", list),
    ],
)  # fmt: skip
def test_types_are_told_apart(text: str, kind: type) -> None:
    """A token, a string and a display string differ, and so do a date, an integer, a boolean."""
    assert type((dictionary([f"a={text}"]) or {})["a"]) is kind


@pytest.mark.parametrize(("section", "fields"), NO_DICTIONARIES)
def test_broken_dictionaries(section: str, fields: list[str]) -> None:
    """A field that breaks the grammar anywhere is ignored as a whole."""
    assert dictionary(fields) is None, section


@pytest.mark.parametrize(
    ("fields", "members"),
    [
        (['"a"'], ["a"]), (['"a", "b"', '"c"'], ["a", "b", "c"]), (['"a";x=1,"b"'], ["a", "b"]),
        (['""'], [""]), (['"a", "a"'], ["a", "a"]), ([r'"\"\\"'], ['"\\']),
        (['"a", b'], None), (['"a", 1'], None), (['("a" "b")'], None), (['"a", ?1'], None),
        (['%"a"'], None), ([":YQ==:"], None), (['"a",'], None), (['"a" "b"'], None), ([], None),
        ([""], None), (['"a'], None), (['a="b"'], None),
    ],
)  # fmt: skip
def test_lists_of_strings(fields: list[str], members: list[str] | None) -> None:
    """A list of strings is read; one member of another type, or a fault, makes it none."""
    assert strings(fields) == members


def test_as_much_is_read_as_a_parser_has_to_take() -> None:
    """1,024 members with keys of 64 characters are read, what is over the bound is not."""
    keys = [f"k{number:063}" for number in range(1024)]
    assert dictionary([", ".join(keys)]) == dict.fromkeys(keys, True)
    assert len((dictionary([f"a=:{'QUJD' * 5462}:"]) or {})["a"]) >= 16_384  # type: ignore[arg-type]
    assert strings([f'"{"a" * (FIELD_CHARS_MAX - 2)}"']) is not None
    assert strings([f'"{"a" * (FIELD_CHARS_MAX - 1)}"']) is None


@given(st.text(alphabet='ab*A1-._?@:%"\\=;,() \t\x00é/+0', max_size=40))
def test_no_text_is_an_error(text: str) -> None:
    """Whatever arrives is read or ignored; what is read has keys and strings of the grammar."""
    strings([text])
    for key in dictionary([text]) or {}:
        assert key[0] in "ab*"
        assert not set(key) - set("ab*1-._0")


VISIBLE = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@given(st.lists(VISIBLE, min_size=1, max_size=20), st.integers(1, 3))
def test_strings_that_were_written_are_read_back(members: list[str], lines: int) -> None:
    """Serialised as section 4.1.6 says, over one line or several, a list comes back."""
    written = ['"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"' for one in members]
    cuts = [written[start : start + lines] for start in range(0, len(written), lines)]
    assert strings([", ".join(cut) for cut in cuts]) == members
