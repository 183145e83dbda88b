"""The live set: which instances there are, and how far each has applied the log (rule 11).

An instance says so in a `Report`. It registers with one, acknowledged by a stream that keeps the
last of each instance, before each renewal of its lease. In between it reports each move of its
position, as a plain message that may be lost.

Why "applied everywhere" means everywhere: an instance serves a page as fresh only within a lease,
which ends `lease_s` after it was asked for; the registration was acknowledged after that. So
whoever may serve a page as fresh stands in the stream, and registered less than `lease_s` ago. An
observer that listens, and then has read the whole stream, knows of all of them (`complete`); it
waits for each until `lease_s` and a margin after its last word, by its own clock; silence counts
only where what was said would have been heard. An instance that it does not know yet takes its
lease from a mark that comes after what was applied then.

Each life of an instance has a name of its own, so that no word of an earlier one speaks for it.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from asgi_isr.coherence.rules import RULES, Rules
from asgi_isr.reports import INSTANCE_CHARS_MAX, SOURCES_MAX, Report

INSTANCES_MAX = 10_000
HISTORY_MAX = 2048  # reports remembered of an instance
LEFT_MAX = 1024  # names remembered of those that left


class Reached(NamedTuple):
    """How far: up to `seq` of those that `source` counts; of source "" it is the position."""

    source: str
    seq: int


class Progress(NamedTuple):
    """Who has reached it, as an observer knows.

    `times` says when the observer first heard so from each instance, by its monotonic clock in
    seconds. `missing` are live and have not said so; `vanished` were live when the wait began, and
    their lease ended without a word. `everywhere`: the live set is known, and nobody is missing.
    """

    times: Mapping[str, float]
    missing: tuple[str, ...]
    vanished: tuple[str, ...]
    everywhere: bool


class Observer(Protocol):
    """Who knows how far each live instance is; `asgi_isr.logs.nats.Instances` is one."""

    async def run(self) -> None:
        """Observe until cancelled."""

    async def unhealthy_reason(self) -> str | None:
        """Say why the live set is not known, or None."""

    async def wait(self, reached: Reached, timeout_s: float) -> Progress:
        """Return once every live instance has reached it, or as far as it came in `timeout_s`."""

    def applied(self, reached: Reached) -> Progress:
        """Return who has reached it, as known now."""


class _Instance:
    """What is known of one instance: its newest report, and when it reached what."""

    __slots__ = ("ends", "report", "seqs")

    def __init__(self) -> None:
        self.report: Report | None = None
        self.ends = float("-inf")
        self.seqs: dict[str, tuple[list[int], list[float]]] = {}

    def take(self, report: Report, now: float, ends: float) -> None:
        # Also a report that comes late was made after the one before it was heard.
        self.ends = max(self.ends, ends)
        if self.report is not None and report.report_seq < self.report.report_seq:
            return
        self.report = report
        for source in self.seqs.keys() - {"", *report.source_seqs}:  # it began again
            del self.seqs[source]
        for source, seq in (("", report.position), *report.source_seqs.items()):
            seqs, times = self.seqs.setdefault(source, ([], []))
            if seqs and seq < seqs[-1]:  # it began again, in another log perhaps
                seqs.clear()
                times.clear()
            if not seqs or seq > seqs[-1]:
                seqs.append(seq)
                times.append(now)
            if len(seqs) > HISTORY_MAX:
                del seqs[: HISTORY_MAX // 2]
                del times[: HISTORY_MAX // 2]

    def reached(self, reached: Reached) -> float | None:
        seqs, times = self.seqs.get(reached.source, ((), ()))
        place = bisect_left(seqs, reached.seq)
        return times[place] if place < len(times) else None


class LiveSet:
    """The instances that an observer knows of. `now` is its monotonic clock, in seconds."""

    def __init__(self, rules: Rules = RULES) -> None:
        self._rules = rules
        self._instances: dict[str, _Instance] = {}
        self._left: OrderedDict[str, None] = OrderedDict()
        self.complete = False
        self.ignored = 0  # reports that made no sense

    def __len__(self) -> int:
        """Return the number of instances known."""
        return len(self._instances)

    def take(self, report: Report, now: float) -> None:
        """Take in a report; one that makes no sense is counted and ignored.

        Beyond `INSTANCES_MAX` instances the set is not known completely.
        """
        name = report.instance
        senseless = report.position < 0 or len(report.source_seqs) > SOURCES_MAX
        if not name or len(name) > INSTANCE_CHARS_MAX or senseless:
            self.ignored += 1
            return
        if report.leaving:
            self._leave(name)
            return
        if name in self._left:  # said before it left, heard after
            return
        known = self._instances.get(name)
        if known is None:
            if len(self._instances) >= INSTANCES_MAX:
                self.ignored += 1
                self.complete = False
                return
            known = self._instances[name] = _Instance()
        known.take(report, now, self._rules.live_until(now, report.lease_s))

    def _leave(self, name: str) -> None:
        self._instances.pop(name, None)
        self._left[name] = None
        if len(self._left) > LEFT_MAX:
            self._left.popitem(last=False)

    def lost(self) -> None:
        """Note that reports may have been missed: somebody may have entered meanwhile."""
        self.complete = self._rules.complete_after_break(complete=self.complete)

    def loaded(self, reports: Iterable[tuple[Report, float]], now: float) -> None:
        """Take in every registration that is kept, with its age in seconds.

        From here on the set is known completely: reports were heard since before it was read.
        Those known before may have registered unheard, and are waited for again.
        """
        self.complete = True
        for report, age_s in reports:
            self.take(report, now - age_s)
        self.expire(now)

    def expire(self, now: float) -> list[str]:
        """Forget those whose lease and margin ended without another word; return who they are.

        All that was said before `now` must have been taken in.
        """
        gone = [name for name, known in self._instances.items() if known.ends <= now]
        for name in gone:
            del self._instances[name]
        return gone

    def silent(self, asked_at: float, *, answered: bool) -> list[str]:
        """Forget those who were silent until the broker was asked for a sign; return who they are.

        It was at `asked_at`, in seconds of the observer's clock. `answered` says that it has
        answered, and that all was taken in which it passed on before.
        """
        return self.expire(self._rules.silent_until(asked_at, answered=answered))

    def next_end(self) -> float | None:
        """Return when the next instance would be forgotten, None without any."""
        return min((known.ends for known in self._instances.values()), default=None)

    def names(self) -> frozenset[str]:
        """Return the live instances."""
        return frozenset(self._instances)

    def reports(self) -> list[Report]:
        """Return the newest report of each live instance."""
        return [known.report for known in self._instances.values() if known.report is not None]

    def everywhere(self, source: str) -> int | None:
        """Return how far all live instances are with `source`; None without any."""
        return min(
            (
                report.position if not source else report.source_seqs.get(source, -1)
                for report in self.reports()
            ),
            default=None,
        )

    def applied(self, reached: Reached, asked: frozenset[str] = frozenset()) -> Progress:
        """Say who has reached it; `asked` are those that were live when the wait began."""
        times: dict[str, float] = {}
        missing = []
        for name, known in self._instances.items():
            at = known.reached(reached)
            if at is None:
                missing.append(name)
            else:
                times[name] = at
        vanished = tuple(sorted(asked - self._instances.keys()))
        return Progress(times, tuple(missing), vanished, self.complete and not missing)
