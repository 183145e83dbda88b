"""The end of a schedule: everything is healed and delivered; then all pages equal the data."""

import asyncio

from simulation.asking import Asking
from simulation.client import Exchange
from simulation.fleet import Fleet
from simulation.instance import Instance
from simulation.pages import HOST, PAGES, VALUES, Page, content_of
from simulation.profile import LOCK_TTL_S
from simulation.troubles import heal

SETTLED_S_MAX = 60.0  # until every instance is at the end of the log, with a lease
POLL_S = 0.25
LOOKS_MAX = 12  # until a page is served as fresh


async def settle(fleet: Fleet) -> None:
    """Heal, publish what waits, and wait until every instance has consumed it."""
    world = fleet.world
    world.calm = True
    heal(fleet)
    world.note("", "", "all is healed")
    world.writers.outbox += world.writers.strange  # what the log lost of theirs, they tell again
    while await world.writers.publish() is not None:
        pass
    fleet.start()  # it shall find in the store nothing that is wrong for it
    end = (await world.writers.mark()).seq
    deadline = world.loop.time() + SETTLED_S_MAX
    while not all(instance.ready and instance.position >= end for instance in fleet.living):
        if world.loop.time() > deadline:
            stuck = [instance.name for instance in fleet.living if not instance.ready]
            world.violated("quiet", "", f"{stuck} not ready {SETTLED_S_MAX} s after all was healed")
            return
        await asyncio.sleep(POLL_S)


async def judge(fleet: Fleet) -> None:
    """Compare what each instance holds as fresh, and what it serves, with the data."""
    for instance in fleet.living:
        for page in PAGES:
            _judge_held(fleet, instance, page)
    for instance in fleet.living:
        for page in PAGES:
            await _judge_served(fleet, instance, page)
    await asyncio.sleep(
        LOCK_TTL_S / 2
    )  # answers go out before page and sign are stored and the lock is back
    for page in PAGES:
        holders = fleet.world.locks.holders(page.path)
        if holders:
            fleet.world.violated("nothing left", page.path, f"{holders} hold the fleet's lock")


def _judge_held(fleet: Fleet, instance: Instance, page: Page) -> None:
    world = fleet.world
    for value in VALUES:
        asking = Asking(value=value)
        key = f"{HOST.decode()}{page.path}"
        entry = instance.cache.hit(key, world.loop.time(), asking.scope(page)["headers"])
        if entry is not None:
            _compare(fleet, instance, page, entry.page.etag, "holds")


async def _judge_served(fleet: Fleet, instance: Instance, page: Page) -> None:
    for _ in range(LOOKS_MAX):
        asking = Asking(value=fleet.world.rng.choice(VALUES))
        exchange = Exchange(fleet.world, instance, page, asking)
        await exchange.run()
        if exchange.fresh:
            _compare(fleet, instance, page, exchange.etag, "serves")
            return
        await asyncio.sleep(POLL_S)  # for a refresh, or until it stores again what it could not
    fleet.world.violated("quiet", page.path, f"{instance.name} never serves it as fresh")


def _compare(fleet: Fleet, instance: Instance, page: Page, etag: bytes, verb: str) -> None:
    versions = fleet.world.writers.versions
    current = tuple(versions[name] for name in page.names)
    vector = content_of(etag).vector
    if vector != current:
        what = f"{instance.name} {verb} {vector} as fresh, the data is {current}"
        fleet.world.violated("quiet", page.path, what)
