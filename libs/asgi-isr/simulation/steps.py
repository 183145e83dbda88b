"""What a schedule may do at a step; the troubles only in schedules that were drawn for them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from asgi_isr.coherence import Snapshot, encode_snapshot, snapshot_key
from asgi_isr.errors import LogUnavailableError, StoreUnavailableError

from simulation.fleet import Fleet
from simulation.pages import CHANGES, KINDS

Step = Callable[[Fleet], Awaitable[None]]
SNAPSHOT_TTL_S = 1_000.0


async def request(fleet: Fleet) -> None:
    """Clients come."""
    fleet.request()


async def write(fleet: Fleet) -> None:
    """A change is committed, with its outbox row."""
    world = fleet.world
    kind = world.rng.choices(range(len(CHANGES)), world.profile.changes)[0]
    mode = "soft" if world.rng.random() < world.profile.soft else "hard"
    if mode == "hard" and world.rng.random() < 0.05:
        mode = "unheard-of"
    committed = world.writers.commit(kind, mode=mode)
    world.tally[f"change: {KINDS[kind]}"] += 1
    world.tally[f"event: {'mode unknown' if mode == 'unheard-of' else mode}"] += 1
    world.note("writer", "", f"commits {committed.versions} ({mode})")


async def publish(fleet: Fleet) -> None:
    """The relay publishes the next rows, if it lives; now and then a later one first."""
    world = fleet.world
    at = world.rng.choice((0, 0, 0, 1))
    rows = world.rng.choice((1, 1, 3))
    with suppress(LogUnavailableError):
        while rows and (row := await world.writers.publish(at)) is not None:
            rows -= 1
            world.tally["event: delayed"] += bool(at and world.writers.outbox)
            world.note("relay", "", f"publishes {row.versions} ({'hard' if row.hard else 'soft'})")


async def change(fleet: Fleet) -> None:
    """A change is committed, and published at once."""
    await write(fleet)
    await publish(fleet)


async def repeat(fleet: Fleet) -> None:
    """The relay publishes a row once more."""
    with suppress(LogUnavailableError):
        if await fleet.world.writers.repeat() is not None:
            fleet.world.tally["event: repeated"] += 1
            fleet.world.note("relay", "", "repeats its last row")


async def garbage(fleet: Fleet) -> None:
    """Something is changed, and its event is unreadable."""
    fleet.world.writers.garbage()
    fleet.world.tally["event: unreadable"] += 1


async def crash(fleet: Fleet) -> None:
    """An instance is killed or stopped; another takes its place."""
    world = fleet.world
    kill = world.rng.random() < 0.6
    world.tally["instance: crashes" if kill else "instance: stops"] += 1
    fleet.end(world.rng.choice(fleet.living), kill=kill)
    fleet.start()


async def snapshot(fleet: Fleet) -> None:
    """The revalidator writes a snapshot of where an instance stands."""
    world, instance = fleet.world, fleet.world.rng.choice(fleet.living)
    session = instance.session
    taken = session.follower.snapshot() if session is not None else None
    if taken is None:
        return
    world.announced.write_snapshot((taken.position, taken.stamp), instance.known)
    world.snapshots.append(taken)
    world.tally["snapshot: written"] += 1
    await _write_snapshot(fleet, taken)


async def old_snapshot(fleet: Fleet) -> None:
    """An old snapshot stands in the store again."""
    world = fleet.world
    if world.snapshots:
        world.tally["snapshot: old one back"] += 1
        await _write_snapshot(fleet, world.rng.choice(world.snapshots))


async def _write_snapshot(fleet: Fleet, taken: Snapshot) -> None:
    data = encode_snapshot(taken)
    with suppress(StoreUnavailableError):
        key = snapshot_key("isr")
        await fleet.world.store.put(key, data, fence=0, ttl_s=SNAPSHOT_TTL_S)
    fleet.world.note("store", "", f"holds the snapshot of {taken.position}")
