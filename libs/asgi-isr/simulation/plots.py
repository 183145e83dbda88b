"""Troubles that are plots: several steps of one story, which chance alone would seldom tell."""

import asyncio
from contextlib import suppress

from asgi_isr.coherence.rules import MARGIN_S
from asgi_isr.errors import LogUnavailableError

from simulation.asking import Asking
from simulation.fleet import Fleet
from simulation.pages import CHANGES, PAGES, names_of
from simulation.profile import LEASE_S
from simulation.troubles import SLOW_S, log_lost, reach, switch


async def changed_apart(fleet: Fleet) -> None:
    """A page is changed through an instance that cannot reach the log, which is perhaps lost.

    It gets back to the log soon, and finds in the store what others rendered between this change
    and the one before.
    """
    world, rng = fleet.world, fleet.world.rng
    instance, page = rng.choice(fleet.living), rng.choice(PAGES)
    link = instance.link
    world.tally["change: apart from the log"] += 1
    world.note(link.name, "", "cannot reach the log for a moment")
    apart = rng.choice(("cut", "frozen", "slow", "slow"))
    if apart == "slow":
        link.slow_s = SLOW_S
        await asyncio.sleep(rng.uniform(0.0, 0.4))
    else:
        if rng.random() < 0.5:
            switch(fleet, "log: relay dead", world.writers, "alive", to=False)
        link.cut = apart == "cut"
        if apart == "frozen":
            link.requests.close()
            link.delivery.close()
        if rng.random() < 0.5:
            await log_lost(fleet)
    world.writers.change(page, whole=False)
    world.writers.tell(page)
    with suppress(LogUnavailableError):
        await world.writers.publish(len(world.writers.outbox) - 1)
    await asyncio.sleep(rng.uniform(0.0, 0.3))
    for other in fleet.living:
        if other is not instance:
            fleet.ask(other, page, Asking())
    await asyncio.sleep(rng.uniform(0.0, 0.2))
    fleet.ask(instance, page, Asking("POST"))
    back_s = rng.uniform(0.0, 0.3)
    world.loop.call_later(back_s, lambda: reach(link))
    fleet.ask_later(instance, page, Asking(), after_s=back_s + rng.uniform(0.0, 0.3))


async def asked_at_the_end(fleet: Fleet) -> None:
    """An instance stops in order; a client whose connection it still holds asks it once more."""
    world, rng = fleet.world, fleet.world.rng
    instance, page = rng.choice(fleet.living), rng.choice(PAGES)
    world.tally["instance: asked at its end"] += 1
    fleet.ask(instance, page, Asking())
    await asyncio.sleep(rng.uniform(0.0, 0.4))
    fleet.end(instance, kill=False)
    fleet.start()
    world.writers.commit(rng.randrange(len(CHANGES)), mode="hard")
    with suppress(LogUnavailableError):
        await world.writers.publish(len(world.writers.outbox) - 1)
    fleet.ask_later(instance, page, Asking(), after_s=rng.uniform(0.05, LEASE_S))


async def unseen(fleet: Fleet) -> None:
    """An instance gets its lease while the observer hears nothing, and falls behind afterwards."""
    world, rng = fleet.world, fleet.world.rng
    observer, page = world.observer, rng.choice(PAGES)
    breaks = rng.random() < 0.6
    world.tally["observer: breaks" if breaks else "observer: freezes"] += 1
    world.note("trouble", "", f"the observer hears nothing ({breaks=})")
    if breaks:
        observer.detach()
    else:
        observer.frozen = True
    if rng.random() < 0.5:
        fleet.end(rng.choice(fleet.living), kill=True)
        instance = fleet.start()
    else:
        instance = rng.choice(fleet.living)
    await asyncio.sleep(rng.uniform(0.1, 0.5) + rng.choice((0.0, LEASE_S + MARGIN_S)))
    fleet.ask(instance, page, Asking())
    await asyncio.sleep(rng.uniform(0.0, 0.4))
    instance.link.requests.close()
    instance.link.delivery.close()
    if breaks:
        observer.reattach()
    world.writers.commit(rng.randrange(len(CHANGES)), mode="hard")
    with suppress(LogUnavailableError):
        await world.writers.publish(len(world.writers.outbox) - 1)
    fleet.ask_later(instance, page, Asking(), after_s=rng.uniform(0.05, LEASE_S))

    def end() -> None:
        reach(instance.link)
        observer.thaw()

    world.loop.call_later(LEASE_S, end)


async def wrote_softly(fleet: Fleet) -> None:
    """A client writes what a soft event tells of, and asks every instance for what it wrote."""
    world, rng = fleet.world, fleet.world.rng
    page = rng.choice(PAGES)
    kinds = [kind for kind in range(len(CHANGES)) if set(names_of(kind)) & set(page.names)]
    world.tally["change: soft, and asked for"] += 1
    for instance in fleet.living:
        fleet.ask(instance, page, Asking())
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    row = len(world.writers.committed)
    world.writers.commit(rng.choice(kinds), mode="soft")
    with suppress(LogUnavailableError):
        while await world.writers.publish() is not None:
            pass
    await asyncio.sleep(rng.uniform(0.0, 0.1))
    for instance in fleet.living:
        fleet.ask(instance, page, Asking(written=row))


async def invalidated_here(fleet: Fleet) -> None:
    """An app changes data and has its own instance invalidate it, hard or soft, by the verb.

    The log may be out of reach then. Another instance finds in the store what it rendered before.
    """
    world, rng = fleet.world, fleet.world.rng
    instance, page = rng.choice(fleet.living), rng.choice(PAGES)
    kinds = [kind for kind in range(len(CHANGES)) if set(names_of(kind)) & set(page.names)]
    for other in fleet.living:
        fleet.ask(other, page, Asking())
    await asyncio.sleep(rng.uniform(0.0, 0.4))
    if rng.random() < 0.4:
        switch(fleet, "log: down", world.writers.log, "down", to=True)
    if rng.random() < 0.4:
        switch(fleet, "link: cut", instance.link, "cut", to=True)
    soft = rng.random() < 0.5
    world.tally[f"change: invalidated {'softly' if soft else 'hard'} here"] += 1
    fleet.invalidate(instance, rng.choice(kinds), page, soft=soft)
    for _ in range(3):
        await asyncio.sleep(rng.uniform(0.0, 0.1))
        fleet.ask(instance, page, Asking())
