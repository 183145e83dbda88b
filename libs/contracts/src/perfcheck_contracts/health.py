"""What a service answers at `GET /api/health`; read by load balancers, supervisors and people."""

from typing import Literal

import msgspec

__all__ = ["CheckReport", "CheckStatus", "HealthReport", "HealthStatus"]

CheckStatus = Literal["pass", "warn", "fail"]
HealthStatus = Literal["pass", "warn", "fail", "starting", "draining"]


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """One check's outcome; `detail` is empty when it passes, `ms` is how long it took."""

    status: CheckStatus
    detail: str
    required: bool
    ms: float


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Readiness of one instance: 200 for pass and warn, 503 for the rest."""

    service: str
    instance: str
    status: HealthStatus
    checks: dict[str, CheckReport]
