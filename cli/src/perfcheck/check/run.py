"""`perfcheck check` as a whole: find or start a target, measure group by group, judge, report."""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from perfcheck_embedded import Event

from perfcheck import environment
from perfcheck.api import Api
from perfcheck.check import invalidation, k6, pages, plan, service
from perfcheck.check.host import fingerprint
from perfcheck.console import Console
from perfcheck.exits import TargetError, WrongUsageError
from perfcheck.http import Http
from perfcheck.judge.config import Config
from perfcheck.judge.metrics import Group, of_group
from perfcheck.judge.report import BudgetReport
from perfcheck.judge.verdicts import Measurement, exit_code, judge_all
from perfcheck.stack.processes import running_stack, unless_stopped
from perfcheck.stack.state import Run, Service, running
from perfcheck.stack.tokens import Tokens

CHECK_CALL_S_MAX = 10.0
BFFS = 2  # coherence cannot be seen on one instance
PIDS_UNKNOWN = "process ids are unknown: the target was not started by `perfcheck up`"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured; `tokens` and `pids` are empty where the target does not tell."""

    bffs: list[str]
    api: str
    tokens: Tokens
    pids: list[int]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of the command say."""

    directory: Path
    config: Config
    skipped: frozenset[Group]
    bffs: list[str]
    api: str | None
    token: str | None


async def check(request: Request, environ: Mapping[str, str], console: Console) -> BudgetReport:
    """Measure the named target, else the running stack, else one brought up for this.

    Raises:
        WrongUsageError: when the options name only half of a target.
        TargetError: when no stack can be brought up. What fails later is part of the report.
        InterruptedByUserError: when a stop was asked for; the stack is stopped in order first.

    """
    k6_path = k6.find(environ)  # before anything is started
    target = named_target(request)
    if target is None and (run := running(request.directory)) is not None:
        target = target_of(run, request.token)
    if target is not None:
        return await measure(target, request, k6_path, console)
    console.progress("no stack is running here: bringing one up")
    async with running_stack(request.directory, environ, bffs=BFFS, on_event=_teller(console)) as (
        started,
        supervisor,
    ):
        own = target_of(started, None)
        report = await unless_stopped(supervisor, lambda: measure(own, request, k6_path, console))
        console.progress("stopping the stack")
    return report


def named_target(request: Request) -> Target | None:
    """Return the target that the options name, None when they name none.

    Raises:
        WrongUsageError: when they name only a part of one.

    """
    if not request.bffs and request.api is None:
        return None
    if not request.bffs or request.api is None:
        raise WrongUsageError("name a target with both --bff (for each instance) and --api")
    return Target(
        bffs=[url.rstrip("/") for url in request.bffs],
        api=request.api.rstrip("/"),
        tokens=Tokens(given=request.token),
        pids=[],
    )


def target_of(run: Run, token: str | None) -> Target:
    """Return the target that a running stack is; `token` instead of those its key makes."""
    return Target(
        bffs=run.urls.bff,
        api=run.urls.api,
        tokens=Tokens(given=token, key=run.token_key),
        pids=run.bff_pids(),
    )


async def measure(
    target: Target, request: Request, k6_path: Path, console: Console
) -> BudgetReport:
    """Measure all groups that are not skipped, one after the other, and judge them.

    A target or tool that fails costs its group its figures and is named in the report.
    """
    started, start_s = environment.utc_now(), environment.monotonic_s()
    measuring = _Measuring(target, request, k6_path, console)
    async with Http(timeout_s=CHECK_CALL_S_MAX) as http:
        await measuring.all(http)
    skipped = frozenset(name for group in request.skipped for name in of_group(group))
    rows = judge_all(measuring.found, request.config.budgets, skipped=skipped)
    return BudgetReport(
        rows=rows,
        tool_failures=measuring.failures,
        skipped=sorted(skipped),
        exit_code=exit_code(rows, measuring.failures),
        started=started.isoformat(timespec="seconds"),
        duration_s=environment.monotonic_s() - start_s,
        host=fingerprint(),
        run={
            "target": {"bffs": target.bffs, "api": target.api},
            "budgets": request.config.source,
            "load": request.config.load,
            "service": request.config.service,
            "invalidation": request.config.invalidation,
            **measuring.facts,
        },
    )


class _Measuring:
    """One check under way: what was found, and what failed."""

    def __init__(self, target: Target, request: Request, k6_path: Path, console: Console) -> None:
        self.found: list[Measurement] = []
        self.failures: list[str] = []
        self.facts: dict[str, Any] = {}
        self._target = target
        self._config = request.config
        self._wanted = [group for group in Group if group not in request.skipped]
        self._k6_path = k6_path
        self._console = console

    async def all(self, http: Http) -> None:
        """Measure every wanted group; pages first, since they need the machine for themselves."""
        if not self._wanted:
            return
        plans: list[plan.Plan] = []

        async def prepare() -> list[Measurement]:
            plans.append(await plan.make(http, self._target.api))
            return []

        await self._attempt(self._wanted, prepare)
        for made in plans:
            await self._groups(http, made)

    async def _groups(self, http: Http, made: plan.Plan) -> None:
        target, config = self._target, self._config
        if Group.PAGES in self._wanted or Group.CPU in self._wanted:
            await self._attempt([Group.PAGES, Group.CPU], lambda: self._pages(http, made))
        if Group.SERVICE in self._wanted:
            self._console.progress("measuring calls from BFF to API")
            await self._attempt(
                [Group.SERVICE],
                lambda: service.measure(http, made, target.bffs, config.service),
            )
        if Group.INVALIDATION in self._wanted:
            self._console.progress(f"measuring {config.invalidation.trials} invalidations")
            await self._attempt([Group.INVALIDATION], lambda: self._invalidation(http, made))

    async def _attempt(
        self, groups: Sequence[Group], work: Callable[[], Awaitable[list[Measurement]]]
    ) -> None:
        """Add what the work measures; when it fails, say so for each metric of the groups."""
        try:
            self.found += await work()
        except TargetError as error:
            self.failures.append(str(error))
            self.found += [
                Measurement(metric=name, value=None, samples=0, problem="its measurement failed")
                for group in groups
                if group in self._wanted
                for name in of_group(group)
            ]

    async def _pages(self, http: Http, made: plan.Plan) -> list[Measurement]:
        target, load = self._target, self._config.load
        self.facts["k6"] = await k6.version(self._k6_path)
        self._console.progress(f"warming {len(made.pages)} pages on {len(target.bffs)} instances")
        hits = await pages.warm(http, target.bffs, made)
        self.facts["pages"] = {"planned": len(made.pages), "warm": hits}
        duration_s = load.warmup_s + load.rounds * load.round_s
        self._console.progress(
            f"k6: {load.rate_per_s} pages/s for {duration_s:.0f} s on {len(target.bffs)} instances"
        )
        with tempfile.TemporaryDirectory(prefix="perfcheck-") as directory:
            found = await pages.measure(
                self._k6_path,
                made,
                target.bffs,
                load,
                pids=target.pids,
                directory=Path(directory),
            )
        if not target.pids:
            found += [
                Measurement(metric=name, value=None, samples=0, problem=PIDS_UNKNOWN)
                for name in of_group(Group.CPU)
            ]
        return found

    async def _invalidation(self, http: Http, made: plan.Plan) -> list[Measurement]:
        target, settings = self._target, self._config.invalidation
        if not target.tokens:
            problem = "invalidations need a token for the API: give one with --token"
            return [
                Measurement(metric=name, value=None, samples=0, problem=problem)
                for name in of_group(Group.INVALIDATION)
            ]
        api = Api(http, Service(url=target.api, tokens=target.tokens))
        return await invalidation.measure(
            http, api, made, target.bffs, settings, api_url=target.api
        )


def _teller(console: Console) -> Callable[[Event], None]:
    """Return a listener that tells what came up and what went wrong."""

    def tell(event: Event) -> None:
        if event.kind in {"ready", "finished"}:
            console.progress(f"{event.name} {event.kind} in {event.duration_s or 0:.1f} s")
        elif event.kind in {"exited", "restarting", "warning"}:
            console.progress(event.text())

    return tell
