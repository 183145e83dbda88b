"""Structured field values (RFC 9651): the lists and dictionaries that this cache reads.

A field that breaks the grammar anywhere is ignored as a whole (section 4.2), so every function here
returns None for it.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

# A longer one is not read. It holds what a parser has to take at least (section 3.1.2, 3.2, 3.3.5):
# 1,024 members with keys of 64 characters, and 16,384 bytes in base64.
FIELD_CHARS_MAX = 80 * 1024


class Token(str):
    """A token, told from a string of the same characters."""

    __slots__ = ()


class Display(str):
    """A display string: text for people, told from a string as well."""

    __slots__ = ()


class Date(int):
    """Seconds since 1970, told from an integer."""

    __slots__ = ()


Bare: TypeAlias = "bool | int | float | str | bytes"
Item: TypeAlias = "Bare | list[Bare]"

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_NUMBER = re.compile(r"(-?\d{1,12}\.\d{1,3})(?![\d.])|(-?\d{1,15})(?![\d.])")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]++|\\["\\])*+)"')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*")
_BYTES = re.compile(r":([A-Za-z0-9+/=]*):")
_BOOLEAN = re.compile(r"\?([01])")
_DATE = re.compile(r"@(-?\d{1,15})(?![\d.])")
_DISPLAY = re.compile(r'%"((?:[\x20\x21\x23\x24\x26-\x7e]++|%[0-9a-f]{2})*+)"')
_SPACE = re.compile(r" *")
_GAP = re.compile(r"[ \t]*")


class _Broken(Exception):  # noqa: N818  never leaves this module
    """The text breaks the grammar."""


def _decoded(text: str) -> bytes:
    """Decode base64; the padding may be missing (section 4.2.7)."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise _Broken from error


class _Reader:
    """A place in the text, and what can be read from there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def step(self) -> None:
        self._at += 1

    def key(self) -> str:
        found = self.take(_KEY)
        if found is None:
            raise _Broken
        return found[0]

    def bare(self) -> Bare:
        if found := self.take(_NUMBER):
            return float(found[1]) if found[1] else int(found[2])
        if found := self.take(_STRING):
            return re.sub(r"\\(.)", r"\1", found[1])
        if found := self.take(_TOKEN):
            return Token(found[0])
        if found := self.take(_BYTES):
            return _decoded(found[1])
        if found := self.take(_BOOLEAN):
            return found[1] == "1"
        if found := self.take(_DATE):
            return Date(found[1])
        if found := self.take(_DISPLAY):
            try:
                return Display(unquote_to_bytes(found[1]).decode())
            except UnicodeDecodeError as error:
                raise _Broken from error
        raise _Broken

    def parameters(self) -> None:
        """Read and drop them: no field that this cache reads has one of meaning."""
        while self.peek() == ";":
            self.step()
            self.take(_SPACE)
            self.key()
            if self.peek() == "=":
                self.step()
                self.bare()

    def item(self) -> Item:
        if self.peek() != "(":
            value: Item = self.bare()
        else:
            self.step()
            value = []
            while True:
                self.take(_SPACE)
                if self.peek() == ")":
                    self.step()
                    break
                value.append(self.bare())
                self.parameters()
                if self.peek() not in {" ", ")"}:
                    raise _Broken
        self.parameters()
        return value

    def more(self) -> bool:
        """Go to the next member; False at the end."""
        self.take(_GAP)
        if not self.peek():
            return False
        if self.peek() != ",":
            raise _Broken
        self.step()
        self.take(_GAP)
        if not self.peek():
            raise _Broken  # a comma with nothing behind it
        return True


def _reader(fields: Iterable[str]) -> _Reader | None:
    """Join the lines of a field (section 4.2); None where there is nothing to read, or too much."""
    text = ", ".join(fields).strip(" ")
    return _Reader(text) if 0 < len(text) <= FIELD_CHARS_MAX and text.isascii() else None


def dictionary(fields: Iterable[str]) -> dict[str, Item] | None:
    """Return a dictionary's members without parameters; the last of a repeated key counts."""
    reader = _reader(fields)
    if reader is None:
        return None
    members: dict[str, Item] = {}
    try:
        while True:
            key = reader.key()
            if reader.peek() == "=":
                reader.step()
                members[key] = reader.item()
            else:
                reader.parameters()
                members[key] = True
            if not reader.more():
                return members
    except _Broken:
        return None


def strings(fields: Iterable[str]) -> list[str] | None:
    """Return a list of strings without parameters; None also where a member is something else."""
    reader = _reader(fields)
    if reader is None:
        return None
    members: list[str] = []
    try:
        while True:
            value = reader.item()
            if type(value) is not str:
                return None
            members.append(value)
            if not reader.more():
                return members
    except _Broken:
        return None
