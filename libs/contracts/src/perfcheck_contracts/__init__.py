"""What the services say to each other: message structs and names, msgspec only, no I/O."""

from perfcheck_contracts.health import CheckReport, CheckStatus, HealthReport, HealthStatus
from perfcheck_contracts.http import (
    Currency,
    CurrencyList,
    CurrencySummary,
    Day,
    DayRate,
    DayWrite,
    History,
    Pair,
    WriteResult,
    Year,
    YearCurrency,
    YearList,
)
from perfcheck_contracts.problems import PROBLEM_MEDIA_TYPE, FieldError, ProblemDetails

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "CheckReport",
    "CheckStatus",
    "Currency",
    "CurrencyList",
    "CurrencySummary",
    "Day",
    "DayRate",
    "DayWrite",
    "FieldError",
    "HealthReport",
    "HealthStatus",
    "History",
    "Pair",
    "ProblemDetails",
    "WriteResult",
    "Year",
    "YearCurrency",
    "YearList",
]
