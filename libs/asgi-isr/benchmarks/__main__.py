"""Run benchmarks: `python -m benchmarks [subject …] [--json] [--quick]`, all without a subject.

Ends by itself, with 0 when everything was measured, 1 when something is missing or answered
otherwise than it should. Whatever it started it also stops when it is interrupted.
"""

import argparse
import json
import signal
import sys
from types import FrameType

from benchmarks import early_refresh, events, hit, invalidate, largest, memory
from benchmarks.report import BenchmarkError, machine, table

SUBJECTS = {
    "hit": hit.measure,
    "events": events.measure,
    "memory": memory.measure,
    "invalidate": invalidate.measure,
    "largest": largest.measure,
    "early_refresh": early_refresh.measure,
}


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measure what was asked for, print each table when it is done; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(SUBJECTS))
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument("--quick", action="store_true", help="only show that the benchmarks work")
    options = parser.parse_args()
    unknown = set(options.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    signal.signal(signal.SIGTERM, _interrupt)
    reports = []
    where = machine()
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in where.items()), end="\n\n", flush=True)
    status = 0
    try:
        for name in options.subjects or SUBJECTS:
            found = SUBJECTS[name](quick=options.quick)
            reports += found
            if not options.json:
                print("\n".join(map(table, found)), flush=True)
    except* (BenchmarkError, TimeoutError) as group:  # from within a cache it comes as a group
        status = 1
        sys.stderr.write(f"{_first(group)!r}\n")
    except* KeyboardInterrupt:
        status = 130
        sys.stderr.write("interrupted\n")
    if options.json and not status:
        print(json.dumps({**where, "reports": [report._asdict() for report in reports]}, indent=2))
    return status


def _first(group: BaseException) -> BaseException:
    """Return the first exception that is not a group."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


if __name__ == "__main__":
    sys.exit(main())
