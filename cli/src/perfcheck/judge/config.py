"""The budget file: found, laid over the shipped defaults, checked, overridden.

Order of precedence: flag, environment variable, file, shipped default. Every mistake is reported
with the key that holds it, as `WrongUsageError`.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from perfcheck.exits import WrongUsageError
from perfcheck.judge.metrics import METRICS, Side

FILE_NAME = "perfcheck.toml"
BUDGET_VARIABLE_PREFIX = "PERFCHECK_BUDGET_"
RATE_PER_S_MAX = 1000
"""Generator and target may share two cores; above this rate k6 measures mostly itself."""

T = TypeVar("T")
Seconds = Annotated[float, Meta(gt=0, le=600)]
RoundCount = Annotated[int, Meta(ge=5, le=100)]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric may be: its limit, on the side that the metric says, and where to warn."""

    limit: float
    warn: float | None
    samples_min: int


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How k6 asks for cached pages: a constant arrival rate over all instances together."""

    rate_per_s: Annotated[int, Meta(ge=1, le=RATE_PER_S_MAX)]
    warmup_s: Annotated[float, Meta(ge=0, le=60)]
    rounds: RoundCount
    round_s: Seconds
    vus_max: Annotated[int, Meta(ge=1, le=1000)]


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the calls from a BFF to the API are measured."""

    rounds: RoundCount
    requests_per_round: Annotated[int, Meta(ge=1, le=10_000)]
    timeout_s: Seconds


class InvalidationTrials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the spread of invalidations is measured; a trial over its time limit is a failure."""

    trials: Annotated[int, Meta(ge=1, le=1000)]
    timeout_s: Seconds
    poll_interval_s: Annotated[float, Meta(ge=0, le=1)]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget as written in the file."""

    samples_min: Annotated[int, Meta(ge=1)]
    max: float | None = None
    min: float | None = None
    warn: float | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as written, defaults filled in."""

    schema: Literal[1]
    load: Load
    service: Service
    invalidation: InvalidationTrials
    budgets: dict[str, Any]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `perfcheck check` is told: how to measure, and a budget for every metric."""

    source: str
    load: Load
    service: Service
    invalidation: InvalidationTrials
    budgets: dict[str, Budget]


def load(
    *,
    path: Path | None,
    directory: Path,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    duration_s: float | None = None,
) -> Config:
    """Read the file at `path`, else `perfcheck.toml` in `directory`, else the defaults alone.

    `overrides` are texts `METRIC=VALUE`; `duration_s` replaces the measured time of the load (all
    rounds together). Raises `WrongUsageError` naming the file and the key.
    """
    if path is None and (directory / FILE_NAME).is_file():
        path = directory / FILE_NAME
    own = {} if path is None else _parse(_text_of(path), str(path))
    source = "defaults" if path is None else str(path)
    merged = _overlay(_without_replaced_warnings(shipped(), own), own)
    if duration_s is not None:
        rounds = merged["load"].get("rounds") if isinstance(merged["load"], dict) else None
        if isinstance(rounds, int) and rounds > 0:
            merged["load"]["round_s"] = duration_s / rounds
    file = _convert(merged, _File, source, "")
    budgets = {name: _budget(source, name, entry) for name, entry in file.budgets.items()}
    for name, value, where in _overriding(environ, overrides):
        if name not in budgets:
            raise WrongUsageError(f"{where}: unknown metric {name!r}; known: {', '.join(METRICS)}")
        budgets[name] = msgspec.structs.replace(
            budgets[name], limit=_number(value, where), warn=None
        )
    return Config(
        source=source,
        load=file.load,
        service=file.service,
        invalidation=file.invalidation,
        budgets=budgets,
    )


def shipped() -> dict[str, Any]:
    """Return the defaults inside the package, as parsed TOML."""
    text = resources.files("perfcheck.judge").joinpath("defaults.toml").read_text("utf-8")
    return tomllib.loads(text)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsageError(f"{path}: cannot be read: {error}") from None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongUsageError(f"{source}: not valid TOML: {error}") from None


def _without_replaced_warnings(base: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` without the `warn` of budgets whose limit `own` replaces: it belonged to it."""
    replaced = own.get("budgets")
    for name, entry in (replaced if isinstance(replaced, dict) else {}).items():
        if isinstance(entry, dict) and ("max" in entry or "min" in entry):
            base["budgets"].get(name, {}).pop("warn", None)
    return base


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `over`, tables merged key by key."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        merge = isinstance(below, dict) and isinstance(value, dict)
        result[key] = _overlay(below, value) if merge else value  # type: ignore[arg-type]  # checked
    return result


def _convert(value: Any, kind: type[T], source: str, key: str) -> T:
    """Convert to a struct; raises `WrongUsageError` naming the key below `key` that is wrong."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        # msgspec writes "Expected `int`, got `str` - at `$.load.rounds`".
        text, _, where = str(error).partition(" - at `$")
        name = ".".join(part for part in (key, where.rstrip("`").lstrip(".")) if part)
        raise WrongUsageError(": ".join(part for part in (source, name, text) if part)) from None


def _budget(source: str, name: str, written: Any) -> Budget:
    """Check one budget against its metric; raises `WrongUsageError` naming the key."""
    key = f"{source}: budgets.{name}"
    metric = METRICS.get(name)
    if metric is None:
        raise WrongUsageError(f"{key}: unknown metric; known: {', '.join(METRICS)}")
    entry = _convert(written, _Entry, source, f"budgets.{name}")
    wanted, other = ("max", "min") if metric.side is Side.AT_MOST else ("min", "max")
    if getattr(entry, other) is not None:
        raise WrongUsageError(f"{key}.{other}: {metric.title} is limited by `{wanted}`")
    limit: float | None = getattr(entry, wanted)
    if limit is None:
        raise WrongUsageError(f"{key}.{wanted}: missing")
    for field, value in ((wanted, limit), ("warn", entry.warn)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise WrongUsageError(f"{key}.{field}: expected a number of 0 or more, got {value}")
    if entry.warn is not None and (entry.warn > limit) is (metric.side is Side.AT_MOST):
        raise WrongUsageError(f"{key}.warn: {entry.warn} is above the limit {limit}")
    return Budget(limit=limit, warn=entry.warn, samples_min=entry.samples_min)


def _overriding(environ: Mapping[str, str], overrides: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return `(metric, value, where from)`, variables first, then flags, which win."""
    result = [
        (variable.removeprefix(BUDGET_VARIABLE_PREFIX).lower(), value, variable)
        for variable, value in sorted(environ.items())
        if variable.startswith(BUDGET_VARIABLE_PREFIX)
    ]
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise WrongUsageError(f"--budget {text}: write METRIC=VALUE, such as pages_p99_ms=60")
        result.append((name.strip(), value, f"--budget {text}"))
    return result


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise WrongUsageError(f"{where}: expected a number of 0 or more, got {text!r}")
    return value
