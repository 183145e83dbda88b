import zipfile
from datetime import date
from pathlib import Path

import pytest
from perfcheck_api.errors import SourceError
from perfcheck_api.ingest.source import Quote, packaged_source, parse, read

KNOWN = {"USD", "JPY", "CYP"}
HEADER = "Date,USD,JPY,CYP,\n"


def test_rates_are_read_in_the_form_of_the_ecb() -> None:
    """Trailing commas and N/A are part of the format; rates stay text, so none is rounded."""
    text = HEADER + "2008-01-02,1.4688,161.03,N/A,\n2007-12-31,1.4721,164.93,0.585274,\n"
    assert parse(text, KNOWN) == [
        Quote("USD", date(2008, 1, 2), "1.4688"),
        Quote("JPY", date(2008, 1, 2), "161.03"),
        Quote("USD", date(2007, 12, 31), "1.4721"),
        Quote("JPY", date(2007, 12, 31), "164.93"),
        Quote("CYP", date(2007, 12, 31), "0.585274"),
    ]


def test_line_ends_spaces_and_missing_commas_do_not_matter() -> None:
    """The ECB's daily file has spaces after commas; editors change line ends."""
    text = "Date, USD, JPY\r\n2008-01-02, 1.4688, 161.03\r\n\r\n"
    assert [quote.rate for quote in parse(text, KNOWN)] == ["1.4688", "161.03"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty"),
        ("\n , \n", "line 1: the file is empty"),
        ("<html>", "line 1: starts with '<html>'"),
        ("Date,\n", "line 1: the header names no currency"),
        ("Date,USD,XAU,\n", "line 1, column 3: 'XAU' is not a known currency"),
        ("Date,USD,JPY,USD,\n", "line 1, column 4: USD is named twice"),
        (HEADER, "line 1: the file ends without a single rate"),
        (HEADER + "2008-01-02,N/A,N/A,N/A,\n", "line 2: the file ends without a single rate"),
        (HEADER + "2008-01-02,1,1,1,\n02/01/2008,1,1,1,\n", "line 3: '02/01/2008' is not a date"),
        (HEADER + "2008-02-30,1,1,1,\n", "line 2: '2008-02-30' is not a date"),
        (HEADER + "1998-12-31,1,1,1,\n", "line 2: 1998-12-31 is before 1999-01-04"),
        (HEADER + "2008-01-02,1,1,\n", "line 2: has 2 rates, the header names 3"),
        ("Date,USD,JPY\n2008-01-02,1,1,\n", "line 2: has 3 rates, the header names 2"),
        (HEADER + "2008-01-02\n", "line 2: has 0 rates, the header names 3"),
        (HEADER + "2008-01-02,1,1,1,1,\n", "line 2: has 4 rates, the header names 3"),
        (HEADER + "2008-01-02,1,1,1,\n" * 2, "line 3: 2008-01-02 is already in line 2"),
        (HEADER + "2008-01-02,1,one,1,\n", "line 2, JPY: 'one' is not a rate"),
        (HEADER + "2008-01-02,1,-1,1,\n", "line 2, JPY: '-1' is not a rate"),
        (HEADER + "2008-01-02,0.00,1,1,\n", "line 2, USD: '0.00' is not a rate"),
        (HEADER + "2008-01-02,1,1e5,1,\n", "line 2, JPY: '1e5' is not a rate"),
        (HEADER + "2008-01-02,1,NaN,1,\n", "line 2, JPY: 'NaN' is not a rate"),
    ],
)
def test_the_first_mistake_is_named_with_its_line(text: str, message: str) -> None:
    """Line and column tell where to look."""
    with pytest.raises(SourceError) as caught:
        parse(text, KNOWN)
    assert str(caught.value).startswith(message)


def test_the_packaged_file_is_found_without_running_its_package() -> None:
    """It comes from the installed distribution's list of files."""
    assert packaged_source().name == "eurofxref-hist.zip"
    assert read(packaged_source()).startswith("Date,USD,JPY,")


def test_a_zip_with_one_csv_is_unpacked(tmp_path: Path) -> None:
    """Whatever else is in it is ignored; a byte order mark is dropped."""
    path = tmp_path / "rates"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("read.me", "x")
        archive.writestr("rates.csv", "\ufeffDate,USD")
    assert read(path) == "Date,USD"


def test_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    """Missing files, folders, damaged zips, zips without a CSV, and what is no text."""
    path = tmp_path / "rates"
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read(path)
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        read(tmp_path)
    path.write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(SourceError, match="damaged or unsupported zip"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rates.txt", "")
    with pytest.raises(SourceError, match=r"has 0 \.csv members"):
        read(path)
    path.write_bytes(b"Date,\xff")
    with pytest.raises(SourceError, match=r"is not UTF-8 text \(byte 5\)"):
        read(path)
