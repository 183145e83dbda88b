"""The program behind `make simulate`; `-h` says what it takes. Exit code 1: a promise is broken."""

import argparse
import sys

from asgi_isr.ports import SystemClock

from simulation.campaign import Found, Report, find, quietly, search
from simulation.faults import FAULTS
from simulation.schedule import Outcome, run
from simulation.seeds import FILE, keep
from simulation.starvation import measure
from simulation.tally import REQUIRED_SEEDS_MIN, missing

FAULT_SEEDS_MAX = 600  # a planted fault that is not found in so many schedules is a failure
SEEDS_MAX = 100_000_000
SECONDS = 30.0
SECONDS_MAX = 3_600.0  # a given number of seeds has time, not for ever


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="simulation", description="Simulate the coherence protocol on the real engine."
    )
    parser.add_argument("--seeds", type=int, help="run this many schedules (default: by time)")
    parser.add_argument(
        "--seconds", type=float, help="at most so long (default 30; with --seeds 3600)"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="replay this schedule and print its trace")
    parser.add_argument("--fault", choices=sorted(FAULTS), help="plant this fault alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    return parser.parse_args(given)


def replay(seed: int, fault: str | None) -> int:
    """Print the trace of one schedule."""
    with quietly():
        outcome = run(seed, FAULTS[fault].rules) if fault else run(seed)
    show(outcome, fault)
    return int(outcome.violation is not None)


def show(outcome: Outcome, fault: str | None) -> None:
    """Print what happened at the page that an invariant speaks of, else at all."""
    print(*outcome.trace.about(outcome.page), sep="\n")
    verdict = f"'{outcome.violation}' VIOLATED" if outcome.violation else "no invariant violated"
    print(f"seed {outcome.seed}: {verdict}, trace {outcome.trace.digest()}")
    if outcome.violation:
        print(f"replay: make simulate SEED={outcome.seed}" + (f" FAULT={fault}" if fault else ""))


def print_report(report: Report, seconds: float) -> None:
    """Print how much was run, and how often each thing happened."""
    print(
        f"{report.schedules} schedules in {seconds:.1f} s: {report.schedules / seconds:.0f}/s, "
        f"{report.steps} steps, {report.steps / seconds:.0f}/s, "
        f"{report.calls / seconds:.0f} callbacks/s"
    )
    groups: dict[str, list[str]] = {}
    for name, number in sorted(report.tally.items()):
        group, _, thing = name.partition(": ")
        groups.setdefault(group, []).append(f"{thing} {number}")
    for group, things in groups.items():
        print(f"  {group + ':':<10}", ", ".join(things))


def promises_hold(options: argparse.Namespace) -> bool:
    """Run the engine as it is."""
    clock = SystemClock()
    started = clock.monotonic()
    report = search(
        first=options.first,
        seeds_max=options.seeds or SEEDS_MAX,
        seconds_max=options.seconds or (SECONDS if options.seeds is None else SECONDS_MAX),
        jobs=options.jobs,
    )
    print_report(report, clock.monotonic() - started)
    for seed, _ in report.violations:
        replay(seed, None)
    never = missing(report.tally) if report.schedules >= REQUIRED_SEEDS_MIN else []
    if never and not report.violations:
        print("never happened, so that nothing is known of it:", ", ".join(never))
    return not report.violations and not never


def told(found: list[Found | None], names: list[str]) -> bool:
    """Print by what each planted fault was found; say whether all were."""
    for name, one in zip(names, found, strict=True):
        said = "NOT FOUND"
        if one is not None:
            said = f"found by '{one.invariant}' after {one.seeds} seeds (SEED={one.seed})"
        print(f"fault {name + ':':<18} {FAULTS[name].what}: {said}")
    changed = keep({one.fault: one.seed for one in found if one is not None}, faults=FAULTS)
    if changed:
        print(f"{FILE.name} rewritten, for the tests:", *changed, sep="\n  ")
    return None not in found


def main(given: list[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    options = arguments(given)
    if options.seed is not None:
        return replay(options.seed, options.fault)
    if options.fault is not None:
        found = find(options.fault, first=options.first, seeds_max=options.seeds or FAULT_SEEDS_MAX)
        if found is not None:
            replay(found.seed, options.fault)
        return int(not told([found], [options.fault]))
    holds = promises_hold(options)
    seen = told([find(name, seeds_max=FAULT_SEEDS_MAX) for name in FAULTS], list(FAULTS))
    fed = measure(seed=options.first)
    print(fed)
    return int(not (holds and seen and fed.fair))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
