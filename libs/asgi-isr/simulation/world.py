"""Everything in one schedule: writers, store, instances, clients' view, trace, verdicts."""

import random
from collections.abc import Callable

from asgi_isr.coherence import Rules, Snapshot

from simulation.known import Announced
from simulation.locks import FleetLocks
from simulation.loop import SimulatedLoop
from simulation.observer import Observer
from simulation.pages import PAGES
from simulation.profile import LEASE_S, Profile
from simulation.store import SimulatedStore, StoreWeather
from simulation.tally import Tally
from simulation.trace import Moment, Trace
from simulation.writers import Writers


class WorldClock:
    """The engine's clock on virtual time. `skew_s` is how wrong this machine's wall clock is."""

    def __init__(self, loop: SimulatedLoop, skew_s: float = 0.0) -> None:
        self.monotonic: Callable[[], float] = loop.time
        self._skew_s = skew_s

    def wall(self) -> float:
        """Return the seconds since 1970."""
        return 1_795_400_000.0 + self.monotonic() + self._skew_s


class World:
    """What all parts of a schedule share. `calm` is set when nothing shall go wrong any more."""

    def __init__(
        self, loop: SimulatedLoop, rng: random.Random, profile: Profile,
        rules: Rules,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.rng = rng
        self.profile = profile
        self.calm = False
        self.tally = Tally()
        self.trace = Trace()
        self.violation: str | None = None
        self.violated_page = ""
        self.clock = WorldClock(loop)
        self.observer = Observer(loop, random.Random(rng.random()), self.tally, rules)
        self.announced = Announced(LEASE_S)
        self.announced.on_add = self.observer.published
        self.writers = Writers(self.announced, self.clock, messages_max=profile.messages_max)
        self.store = SimulatedStore(self.clock)
        self.weather = StoreWeather()
        self.locks = FleetLocks(self.clock)
        self.rendering: dict[tuple[str, str], int] = {}  # (instance, path) -> renders under way
        # Whether a page varies on the language just now, by path.
        self.varying = {
            page.path: varies for page, varies in zip(PAGES, profile.varying, strict=True)
        }
        self.etags: dict[str, bytes] = {}  # by path: the last one that a client got
        self.snapshots: list[Snapshot] = []  # all ever written

    def note(self, who: str, page: str, what: str) -> None:
        """Add to the trace, which ends with the violation of an invariant."""
        if self.violation is None:
            self.trace.append(Moment(self.loop.time(), who, page, what))

    def violated(self, invariant: str, page: str, what: str) -> None:
        """Note that an invariant does not hold; the first one counts."""
        self.note("JUDGE", page, f"'{invariant}' VIOLATED: {what}")
        if self.violation is None:
            self.violation = invariant
            self.violated_page = page

    def pause_s(self, seconds_max: float) -> float:
        """Draw a time to pass, often none."""
        return self.rng.uniform(0.0, seconds_max) if self.rng.random() < 0.5 else 0.0
