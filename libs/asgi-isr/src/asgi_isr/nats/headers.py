"""`Headers`: the header fields of a message, whatever its publisher wrote into them.

nats-py decodes the whole block of each message; a block that is none makes it stop reading from its
connection, for good. And it shows a field `Status` of a publisher as if the server had said it.
"""

from collections.abc import Iterator, Mapping

__all__ = ["Headers"]

_LINE_END = b"\r\n"
_STATUS_LINE = b"NATS/1.0 "
_STATUS_CHARS = 3
_DECODED_BYTES_MAX = 16 * 1024  # of a longer block the first half of so much, and the last
# Said by the server alone, on the first line of the block; nats-py looks for them by these names.
_OF_THE_SERVER = frozenset({"Status", "Description"})


class Headers(Mapping[str, str]):
    """The fields in the bytes `raw`. The last of a name counts: the server's come last.

    Nothing in them is an error: what is no field is left out, and what is no UTF-8 replaced.
    `Status` and `Description` are those of the block's first line, never a publisher's fields.
    Single fields are looked for in the bytes; all are decoded when somebody wants them all, of a
    very long block those that stand first and last.
    """

    __slots__ = ("_fields", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._fields: dict[str, str] | None = None

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # of text alone
        """Return the last value of the field `name`, else `default`."""
        if name in _OF_THE_SERVER:
            return self._said().get(name, default)
        raw, start = self.raw, f"\r\n{name}:".encode()
        at = raw.rfind(start)
        if at < 0:
            return default
        at += len(start)
        end = raw.find(_LINE_END, at)
        return raw[at : end if end >= 0 else len(raw)].decode(errors="replace").strip()

    def __getitem__(self, name: str) -> str:
        """Return the last value of the field `name`."""
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        """Give each name once."""
        return iter(self._all())

    def __len__(self) -> int:
        """Count the names."""
        return len(self._all())

    def __repr__(self) -> str:
        """Show the bytes."""
        return f"Headers({self.raw!r})"

    def _all(self) -> dict[str, str]:
        if self._fields is None:
            lines = self._bounded().decode(errors="replace").split("\r\n")[1:]
            parts = (line.partition(":") for line in lines)
            fields = {name: value.strip() for name, colon, value in parts if name and colon}
            for name in _OF_THE_SERVER:
                fields.pop(name, None)
            self._fields = {**self._said(), **fields}
        return self._fields

    def _bounded(self) -> bytes:
        raw, half = self.raw, _DECODED_BYTES_MAX // 2
        if len(raw) <= _DECODED_BYTES_MAX:
            return raw
        first, last = raw[:half].rpartition(_LINE_END)[0], raw[-half:].partition(_LINE_END)[2]
        return first + _LINE_END + last

    def _said(self) -> dict[str, str]:
        """Return what the server says on the first line: a status, and perhaps words."""
        line, _, _ = self.raw.partition(_LINE_END)
        text = line.removeprefix(_STATUS_LINE).decode(errors="replace")
        status, words = text[:_STATUS_CHARS], text[_STATUS_CHARS:].strip()
        if not line.startswith(_STATUS_LINE) or not status.isdecimal():
            return {}
        return {"Status": status, **({"Description": words} if words else {})}
