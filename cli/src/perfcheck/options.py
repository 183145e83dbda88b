"""What options are: kinds of values, and the options that several commands share."""

import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import rich_click as click

from perfcheck import environment

state_option = click.option(
    "--state",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".perfcheck"),
    envvar="PERFCHECK_STATE",
    show_envvar=True,
    show_default=True,
    help="Directory of the stack: its data, its logs and what runs.",
)


class Duration(click.ParamType[float]):
    """A time such as `5s`, `500ms`, `2m`, or a plain number of seconds; the value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; refuses what is not a time, or not more than 0."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        for unit, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("", 1.0)):
            number = text.removesuffix(unit).strip()
            if text.endswith(unit) and number.replace(".", "", 1).isdecimal() and float(number) > 0:
                return float(number) * seconds
        return self.fail(f"{value!r} is not a time: write 5s, 500ms or 2m", param, ctx)


DURATION = Duration()


class Rate(click.FloatRange):
    """A number above 0, up to 1000; click's range alone lets NaN through."""

    def __init__(self) -> None:
        super().__init__(0, 1000, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; refuses what is none, or out of range."""
        rate: float = super().convert(value, param, ctx)
        if math.isnan(rate):
            self.fail(f"{value!r} is not a number", param, ctx)
        return rate


class Since(click.ParamType[str]):
    """A moment, as `10m` ago (s, m, h, d) or ISO 8601; the value is ISO 8601 with its offset."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the moment; refuses what is none. Without an offset it is in UTC."""
        text = str(value).strip()
        ago = _AGO.fullmatch(text.lower())
        try:
            if ago is not None:
                passed = dt.timedelta(**{_UNITS[ago[2]]: float(ago[1])})
                return (environment.utc_now() - passed).isoformat(timespec="milliseconds")
            moment = dt.datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time: write 10m, 2h or 2026-11-24T21:00:00Z", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return moment.isoformat(timespec="milliseconds")


_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

token_option = click.option(
    "--token",
    envvar="PERFCHECK_TOKEN",
    show_envvar=True,
    help="A service token; else one is made for the running stack.",
)
api_option = click.option(
    "--api", metavar="URL", help="An API other than the running stack's; needs its --token."
)
