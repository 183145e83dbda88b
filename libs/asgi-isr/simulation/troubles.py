"""What can happen to links, log and store: for a while, or once and for all."""

from collections.abc import Callable
from contextlib import suppress

from asgi_isr.errors import LogUnavailableError, StoreUnavailableError

from simulation.fleet import Fleet
from simulation.network import Link
from simulation.pages import CHANGES, PAGES
from simulation.profile import LEASE_S

SLOW_S = 0.8  # at most, each way
LASTS_S_MAX = LEASE_S * 2.5
TAIL_MAX = 4  # events that a broker loses which it had acknowledged


def for_a_while(
    fleet: Fleet, name: str, begin: Callable[[], None], end: Callable[[], None]
) -> None:
    """Let something go on for a while."""
    world = fleet.world
    world.tally[name] += 1
    lasts_s = world.rng.uniform(0.1, LASTS_S_MAX)
    world.note("trouble", "", f"{name} for {lasts_s:.2f} s")
    begin()
    world.loop.call_later(lasts_s, end)


def switch(fleet: Fleet, name: str, thing: object, attribute: str, *, to: bool) -> None:
    """Let a switch stand the other way for a while."""
    for_a_while(
        fleet, name,
        lambda: setattr(thing, attribute, to),
        lambda: setattr(thing, attribute, not to),
    )  # fmt: skip


def _link(fleet: Fleet) -> Link:
    return fleet.world.rng.choice(fleet.living).link


async def lag(fleet: Fleet) -> None:
    """Events reach one instance late; what it asks is answered."""
    link = _link(fleet)
    fleet.world.note(link.name, "", "hears no events")
    for_a_while(fleet, "link: lags", link.delivery.close, link.delivery.open)


async def trickle(fleet: Fleet) -> None:
    """Events reach one instance one after another, each after a while; it stays far behind."""
    link = _link(fleet)
    slow_s = fleet.world.rng.uniform(0.1, LEASE_S / 2)
    fleet.world.note(link.name, "", f"hears an event every {slow_s:.2f} s")

    def begin() -> None:
        link.trickle_s = slow_s

    def end() -> None:
        link.trickle_s = 0.0

    for_a_while(fleet, "link: trickles", begin, end)


async def freeze(fleet: Fleet) -> None:
    """Neither events nor answers reach one instance."""
    link = _link(fleet)
    fleet.world.note(link.name, "", "hears nothing")

    def begin() -> None:
        link.requests.close()
        link.delivery.close()

    def end() -> None:
        link.requests.open()
        link.delivery.open()

    for_a_while(fleet, "link: freezes", begin, end)


async def cut(fleet: Fleet) -> None:
    """One instance's link fails at once."""
    link = _link(fleet)
    fleet.world.note(link.name, "", "cannot reach the log")
    switch(fleet, "link: cut", link, "cut", to=True)


async def log_down(fleet: Fleet) -> None:
    """The broker is out of reach for all."""
    switch(fleet, "log: down", fleet.world.writers.log, "down", to=True)


async def relay_dead(fleet: Fleet) -> None:
    """Nobody publishes rows, nobody answers for marks."""
    switch(fleet, "log: relay dead", fleet.world.writers, "alive", to=False)


async def databases(fleet: Fleet) -> None:
    """The writers go on in another database, and the one before still serves."""
    writers = fleet.world.writers

    def end() -> None:
        writers.forsaken = None

    if writers.forsaken is None:
        with suppress(LogUnavailableError):
            await writers.move()
            for_a_while(fleet, "database: two serve", lambda: None, end)


async def log_lost(fleet: Fleet) -> None:
    """The log is another one, beyond all fences (rule 7)."""
    fleet.world.tally["log: recreated"] += 1
    fleet.world.note("trouble", "", "the log is lost and recreated")
    fleet.world.writers.lose()


async def tail_lost(fleet: Fleet) -> None:
    """The broker has lost the last events, which it had acknowledged."""
    world = fleet.world
    with suppress(LogUnavailableError):
        bounds = await world.writers.log.bounds()
        last = max(bounds.first - 1, bounds.last - world.rng.randint(1, TAIL_MAX))
        if last < bounds.last:
            world.tally["log: loses its tail"] += 1
            world.note("trouble", "", f"the log loses {last + 1} to {bounds.last}")
            world.writers.lose(last=last)


async def stranger(fleet: Fleet) -> None:
    """Another publisher, who has no outbox, changes data and tells so."""
    world = fleet.world
    with suppress(LogUnavailableError):
        change = await world.writers.intrude(world.rng.randrange(len(CHANGES)))
        if change is not None:
            world.tally["event: of a stranger"] += 1
            world.note("stranger", "", f"changes and publishes {change.versions}")


async def store_cleared(fleet: Fleet) -> None:
    """The store has restarted without its data."""
    fleet.world.tally["store: cleared"] += 1
    fleet.world.note("trouble", "", "the store is cleared")
    fleet.world.store.clear()
    fleet.world.locks.lost()


async def old_values(fleet: Fleet) -> None:
    """A replica of the store takes over, which is behind; now and then a damaged one."""
    world = fleet.world
    damaged = world.rng.random() < 0.2
    world.tally["store: damaged" if damaged else "store: old values back"] += 1
    world.note("trouble", "", f"the store holds old values ({damaged=})")
    world.locks.lost()
    with suppress(StoreUnavailableError):
        await world.store.fail_over(world.rng, damaged=damaged)


async def puts_lost(fleet: Fleet) -> None:
    """The store acknowledges what it then loses."""
    switch(fleet, "store: puts get lost", fleet.world.weather, "loses_puts", to=True)


async def answers_lost(fleet: Fleet) -> None:
    """The store does what it is asked, and its answer is lost."""
    switch(fleet, "store: answers get lost", fleet.world.weather, "loses_answers", to=True)


async def store_errs(fleet: Fleet) -> None:
    """The store raises what its contract does not know."""
    switch(fleet, "store: errs", fleet.world.weather, "errs", to=True)


async def store_slow(fleet: Fleet) -> None:
    """The store answers around its time limit."""
    switch(fleet, "store: slow", fleet.world.weather, "slow", to=True)


async def store_frozen(fleet: Fleet) -> None:
    """The store takes what is asked and does not answer."""
    gate = fleet.world.weather.gate
    for_a_while(fleet, "store: frozen", gate.close, gate.open)


async def store_down(fleet: Fleet) -> None:
    """The store refuses everything."""
    switch(fleet, "store: down", fleet.world.store, "down", to=True)


async def slow(fleet: Fleet) -> None:
    """What one instance asks is answered late."""
    link = _link(fleet)
    fleet.world.note(link.name, "", "gets answers late")
    for_a_while(
        fleet, "link: slow",
        lambda: setattr(link, "slow_s", SLOW_S), lambda: setattr(link, "slow_s", 0.0),
    )  # fmt: skip


def reach(link: Link) -> None:
    """Let an instance reach the log again."""
    link.cut = False
    link.slow_s = 0.0
    link.requests.open()
    link.delivery.open()


async def observer_breaks(fleet: Fleet) -> None:
    """The observer's connection breaks, and comes back."""
    observer = fleet.world.observer
    for_a_while(fleet, "observer: breaks", observer.detach, observer.reattach)


async def observer_freezes(fleet: Fleet) -> None:
    """Nothing reaches the observer for a while, and nothing tells it so."""
    observer = fleet.world.observer
    for_a_while(
        fleet, "observer: freezes", lambda: setattr(observer, "frozen", True), observer.thaw
    )  # fmt: skip


async def observer_restarts(fleet: Fleet) -> None:
    """The observer restarts."""
    fleet.world.tally["observer: restarts"] += 1
    fleet.world.note("trouble", "", "the observer restarts")
    fleet.world.observer.restart()


async def reports_lost(fleet: Fleet) -> None:
    """The observer hears registrations alone."""
    switch(fleet, "observer: hears no reports", fleet.world.observer, "deaf", to=True)


async def vary(fleet: Fleet) -> None:
    """The app begins to vary a page on the language, or stops to."""
    world = fleet.world
    path = world.rng.choice(PAGES).path
    world.varying[path] = not world.varying[path]
    world.tally["render: begins to vary" if world.varying[path] else "render: stops to vary"] += 1
    world.note("app", path, f"varies: {world.varying[path]}")


def heal(fleet: Fleet) -> None:
    """End all troubles."""
    world = fleet.world
    world.writers.log.down = world.store.down = False
    world.writers.alive = True
    world.writers.forsaken = None
    world.observer.deaf = False
    world.observer.thaw()
    world.observer.reattach()
    weather = world.weather
    weather.slow = weather.loses_puts = weather.loses_answers = weather.errs = False
    weather.gate.open()
    for instance in (*fleet.living, *fleet.ended):
        instance.link.trickle_s = 0.0
        reach(instance.link)
