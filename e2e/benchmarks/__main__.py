"""`python -m e2e.benchmarks`: from the commit to every task, in the whole running system.

Three questions, each on the stack of `perfcheck up` with throw-away data:

- *latency*: from the return of a commit until this process has heard from each of 8 instances that
  it applied the event, at 50 events/s (one more hop than the event itself takes);
- *throughput*: events/s from the first commit until 4 instances have applied the last event, with
  rows committed in batches; every event is counted in the log, and no instance may have lost one;
- *wait*: what `?wait=applied` adds to the time at which the slowest instance had applied the event.
"""

import argparse
import asyncio
import shutil
import sys
from pathlib import Path

from perfcheck import environment
from perfcheck.console import Console
from perfcheck.stack.processes import running_stack
from perfcheck.stack.up import StartLine
from perfcheck_embedded import new_shared_subdirectory

from e2e.benchmarks.events import latency, throughput, wait_overhead
from e2e.benchmarks.observer import observing


def main() -> int:
    """Run what the arguments name; return 0, or 1 when an event was lost."""
    options = _parser().parse_args()
    return asyncio.run(_run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each figure")
    parser.add_argument("--round-s", type=float, default=8.0, help="length of a latency round")
    parser.add_argument("--rate", type=float, default=50.0, help="events/s of the latency rounds")
    parser.add_argument("--events", type=int, default=20_000, help="events of a throughput round")
    return parser


async def _run(options: argparse.Namespace) -> int:
    place = new_shared_subdirectory("bench-")
    try:
        lost = await _on_a_stack(place / "eight", options, bffs=8)
        lost += await _on_a_stack(place / "four", options, bffs=4)
    finally:
        shutil.rmtree(place)
    return 1 if lost else 0


async def _on_a_stack(directory: Path, options: argparse.Namespace, *, bffs: int) -> int:
    line = StartLine(Console(colour=True))
    environ = {**environment.environ(), "PERFCHECK_INVALIDATIONS_PER_S": "1000"}
    async with (
        running_stack(directory, environ, bffs=bffs, on_event=line) as (run, _),
        observing(run, instances=bffs) as observed,
    ):
        line.settle()
        if bffs == 8:
            await latency(observed, options.rounds, options.round_s, options.rate)
            await wait_overhead(observed, options.rounds)
            return 0
        return await throughput(observed, options.rounds, options.events)


if __name__ == "__main__":
    sys.exit(main())
