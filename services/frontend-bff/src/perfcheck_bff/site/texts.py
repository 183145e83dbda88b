"""The words of the pages, one TOML catalogue per language (`languages/<language>.toml`).

A catalogue is loaded once; a missing key or placeholder raises, so that tests find it and no
page ever shows a key instead of a sentence.
"""

import tomllib
from datetime import date
from functools import cache
from pathlib import Path

__all__ = ["LANGUAGES", "Texts", "load"]

_FOLDER = Path(__file__).parent / "languages"
LANGUAGES = ("en",)


class Texts:
    """One language: call it with `group.key` and the placeholders' values to get a sentence."""

    def __init__(self, language: str, tables: dict[str, dict[str, str | list[str]]]) -> None:
        """Flatten the tables of a catalogue; `tables` is the parsed TOML."""
        self.language = language
        dates = tables["date"]
        self._months = _names(dates["months"], 12)
        self._months_short = _names(dates["months_short"], 12)
        self._weekdays = _names(dates["weekdays"], 7)
        self._entries = {
            f"{group}.{key}": text
            for group, table in tables.items()
            for key, text in table.items()
            if isinstance(text, str)
        }

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the sentence `key` with `{placeholders}` filled; KeyError names what lacks."""
        text = self._entries[key]
        if "{" not in text:
            return text
        try:
            return text.format(**values)
        except KeyError as error:
            raise KeyError(f"{key} needs {error.args[0]}, which was not given") from error

    def keys(self) -> frozenset[str]:
        """Return every key that holds a sentence."""
        return frozenset(self._entries)

    def long_day(self, day: date) -> str:
        """Write a day out: `Friday, 30 October 2026`."""
        return self._day("date.long", day)

    def short_day(self, day: date) -> str:
        """Write a day briefly: `30 Oct 2026`."""
        return self._day("date.short", day)

    def month(self, day: date) -> str:
        """Write the month of a day: `Oct 2026`."""
        return self._day("date.month", day)

    def _day(self, key: str, day: date) -> str:
        return self._entries[key].format(
            weekday=self._weekdays[day.weekday()],
            day=day.day,
            month=self._months[day.month - 1],
            month_short=self._months_short[day.month - 1],
            year=day.year,
        )


def _names(names: str | list[str], count: int) -> list[str]:
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"the catalogue needs a list of {count} names, not {names!r}")
    return names


@cache
def load(language: str) -> Texts:
    """Read the catalogue of a language, once per process; FileNotFoundError when there is none."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        return Texts(language, tomllib.load(file))
