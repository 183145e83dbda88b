"""Health of one instance: readiness with named checks, and liveness that asks nobody.

`GET /api/health` is for load balancers and supervisors: 503 takes the instance out, 200 keeps it
in. A failing check that is not required says `warn` and keeps it in. `GET /api/health/live` says
only that the event loop runs; a restart is due when it does not answer.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from perfcheck_contracts import CheckReport, CheckStatus, HealthReport, HealthStatus

from perfcheck_chassis.http.answers import json_answer
from perfcheck_chassis.process import drain

__all__ = ["HEALTH_CHECK_S_MAX", "Check", "Health", "health_routes"]

HEALTH_CHECK_S_MAX = 1.0
_log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]


class _Named(NamedTuple):
    check: Check
    required: bool


class Health:
    """What one process says about itself. It is `starting` until `ready` is called.

    Args:
        service: name of the service.
        instance_id: name of this process.
        draining_event: set when the process is about to stop; by default the one that `serve` sets.

    """

    def __init__(
        self,
        service: str,
        instance_id: str,
        *,
        draining_event: threading.Event = drain.draining,
    ) -> None:
        self._service = service
        self._instance = instance_id
        self._draining = draining_event
        self._ready = False
        self._checks: dict[str, _Named] = {}

    def add(self, name: str, check: Check, *, required: bool) -> None:
        """Ask `check` at each probe: it returns None when all is well, else the reason.

        It is given one second, beside the others, and is cancelled after. What it returns is shown
        to whoever asks; what it raises is logged and shown by its type only.
        """
        if name in self._checks:
            raise ValueError(f"health check {name!r} exists already")
        self._checks[name] = _Named(check, required)

    def starting(self) -> None:
        """Answer 503 until `ready`; this is how a process begins."""
        self._ready = False

    def ready(self) -> None:
        """Let the checks decide from now on."""
        self._ready = True

    def draining(self) -> None:
        """Answer 503 from now on: the process is about to stop."""
        self._draining.set()

    async def report(self) -> HealthReport:
        """Run all checks at once and sum up; takes at most `HEALTH_CHECK_S_MAX` and a little."""
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(_run(name, named)) for name, named in self._checks.items()
            }
        checks = {name: task.result() for name, task in tasks.items()}
        return HealthReport(
            service=self._service,
            instance=self._instance,
            status=self._status(checks),
            checks=checks,
        )

    def _status(self, checks: Mapping[str, CheckReport]) -> HealthStatus:
        if self._draining.is_set():
            return "draining"
        if not self._ready:
            return "starting"
        failed = [check for check in checks.values() if check.status != "pass"]
        if any(check.required for check in failed):
            return "fail"
        return "warn" if failed else "pass"


async def _run(name: str, named: _Named) -> CheckReport:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(HEALTH_CHECK_S_MAX):
            reason = await named.check()
    except TimeoutError:
        reason = f"no answer within {HEALTH_CHECK_S_MAX:g} s"
    except Exception as error:  # noqa: BLE001  whatever a check raises means that it failed
        # The text of a driver's error may hold addresses and names: it belongs in the log only.
        _log.warning("health check %s failed", name, exc_info=error)
        reason = f"the check raised {type(error).__name__}; see the service's log"
    failed: CheckStatus = "fail" if named.required else "warn"
    return CheckReport(
        status="pass" if reason is None else failed,
        detail=reason or "",
        required=named.required,
        ms=round((time.perf_counter() - started) * 1000, 3),
    )


def health_routes(health: Health) -> list[HTTPRouteHandler]:
    """Return the handlers of `/api/health` and `/api/health/live`."""

    @get("/api/health", include_in_schema=False)
    async def readiness() -> Response[bytes]:
        report = await health.report()
        return json_answer(report, status=200 if report.status in {"pass", "warn"} else 503)

    @get("/api/health/live", include_in_schema=False)
    async def liveness() -> Response[bytes]:
        return json_answer({"status": "pass"})

    return [readiness, liveness]
