"""An observer of the live set: what it says is applied everywhere no instance may lack (rule 11).

It stands for `Instances` on NATS: one connection, on which everything comes in its order.
"""

import random
from collections import deque
from collections.abc import Callable

from asgi_isr.coherence import LiveSet, Rules
from asgi_isr.reports import Report

from simulation.known import Change, Versions, raise_to
from simulation.loop import SimulatedLoop
from simulation.tally import Tally

LOOK_S = 0.25
DELAYS_S = (0.0, 0.0005, 0.003, 0.02)
LOST = 0.1  # share of reports that get lost


class Observer:
    """Hears registrations, which the broker keeps, and reports, which may get lost.

    `versions` are those of all changes that it has called applied everywhere. `frozen`: nothing
    comes, and nobody knows; `deaf`: all reports get lost.
    """

    def __init__(self, loop: SimulatedLoop, rng: random.Random, tally: Tally, rules: Rules) -> None:
        self.versions: Versions = {}
        self.deaf = False
        self.frozen = False
        self.live = LiveSet(rules)
        self._rules = rules
        self._loop = loop
        self._rng = rng
        self._tally = tally
        self._kept: dict[str, tuple[Report, float]] = {}  # by the broker, with the time
        self._coming: deque[Callable[[], None]] = deque()
        self._waiting: list[tuple[float, int, Change]] = []
        self._heard_until = float("-inf")  # all that was said before has been heard
        self._connections = 0
        self._attached = False

    def published(self, seq: int, change: Change) -> None:
        """Ask when the change at `seq` is applied everywhere; who asks hears of it another way."""
        self._waiting.append((self._loop.time(), seq, change))

    def registered(self, report: Report) -> None:
        """Keep a registration, and pass it on."""
        self._kept[report.instance] = (report, self._loop.time())
        self._send(lambda: self.live.take(report, self._loop.time()))

    def reported(self, report: Report) -> None:
        """Pass a report on, or lose it."""
        if not self.deaf and self._rng.random() >= LOST:
            self._send(lambda: self.live.take(report, self._loop.time()))

    def attach(self) -> None:
        """Connect: listen, then read what is kept."""
        self._connections += 1
        self._attached = True
        connection = self._connections
        self._loop.call_later(self._delay_s(), lambda: self._load(connection))
        self._look(connection)

    def detach(self) -> None:
        """Lose the connection, and all that was on its way."""
        self._attached = False
        self._coming.clear()
        self.live.lost()

    def reattach(self) -> None:
        """Connect, unless it is connected."""
        if not self._attached:
            self.attach()

    def restart(self) -> None:
        """Begin again, knowing nothing."""
        self.detach()
        self.live = LiveSet(self._rules)
        self.attach()

    def thaw(self) -> None:
        """Let all come that was held up."""
        self.frozen = False
        while self._coming:
            self._arrive()

    def _load(self, connection: int) -> None:
        known = self.live.complete  # never, after a break
        if connection == self._connections and self._attached and not known:
            now = self._loop.time()
            kept = [(report, now - at) for report, at in self._kept.values()]
            self._send(lambda: self.live.loaded(kept, self._loop.time()))

    def _look(self, connection: int) -> None:
        """Ask the broker for a sign: whoever was silent until then, and long enough, is gone."""
        if connection == self._connections and self._attached:
            asked_at = self._loop.time()
            self._silent(asked_at, answered=False)
            self._judge()
            self._send(lambda: self._silent(asked_at, answered=True))
            self._loop.call_later(LOOK_S, lambda: self._look(connection))

    def _silent(self, asked_at: float, *, answered: bool) -> None:
        heard_until = self._rules.silent_until(asked_at, answered=answered)
        self._heard_until = max(self._heard_until, heard_until)
        vanished = self.live.silent(asked_at, answered=answered)
        self._tally["observer: instances vanish"] += len(vanished)

    def _send(self, take: Callable[[], None]) -> None:
        if self._attached:
            self._coming.append(take)
            self._loop.call_later(self._delay_s(), self._arrive)

    def _arrive(self) -> None:
        if self._coming and not self.frozen:
            self._coming.popleft()()
            self._judge()

    def _judge(self) -> None:
        """Call applied everywhere what every live instance has applied."""
        if not self._waiting or not self.live.complete:
            return
        level = self.live.everywhere("")
        waiting = []
        for asked_at, seq, change in self._waiting:
            # Where nobody is known somebody may have said so before it was asked.
            if asked_at < self._heard_until if level is None else seq <= level:
                raise_to(self.versions, change.versions)
                self._tally["observer: everywhere"] += 1
            else:
                waiting.append((asked_at, seq, change))
        self._waiting = waiting

    def _delay_s(self) -> float:
        return self._rng.choice(DELAYS_S)
