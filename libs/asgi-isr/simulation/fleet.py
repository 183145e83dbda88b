"""The instances of a schedule, and the requests that they get."""

import asyncio

from asgi_isr.coherence import Rules
from asgi_isr.errors import LogUnavailableError

from simulation.asking import Asking, draw
from simulation.client import exchange_of
from simulation.instance import Instance
from simulation.known import Change
from simulation.pages import CHANGES, PAGES, Page
from simulation.profile import ANSWER_S_MAX
from simulation.world import World

BURST_MAX = 4
APPLIED_S_MAX = 1.0


class Fleet:
    """Instances that live in `processes`, clients that live in `clients`."""

    def __init__(
        self, world: World, rules: Rules, *, processes: asyncio.TaskGroup,
        clients: asyncio.TaskGroup,
    ) -> None:  # fmt: skip
        self.world = world
        self.living: list[Instance] = []
        self.ended: list[Instance] = []
        self._rules = rules
        self._processes = processes
        self._clients = clients

    def start(self) -> Instance:
        """Start an instance."""
        number = len(self.living) + len(self.ended)
        instance = Instance(self.world, f"i{number}", self._rules)
        self._processes.create_task(instance.run(), name=instance.name)
        self.living.append(instance)
        return instance

    def end(self, instance: Instance, *, kill: bool) -> None:
        """Stop an instance, in good order or not."""
        self.world.note(instance.name, "", "is killed" if kill else "stops")
        self.living.remove(instance)
        self.ended.append(instance)
        if kill:
            instance.kill()
        else:
            instance.stop()

    def request(self) -> None:
        """Send a burst of requests for one page to one instance, now and then to one that ends."""
        world, rng = self.world, self.world.rng
        instance = rng.choice(self.living)
        if self.ended and rng.random() < 0.03:
            instance = self.ended[-1]
        page = rng.choices(PAGES, world.profile.pages)[0]
        for _ in range(rng.randint(1, BURST_MAX)):
            gone_soon = rng.random() < 0.06
            patience_s = rng.uniform(0.0, 0.4) if gone_soon else ANSWER_S_MAX
            known = world.etags.get(page.path, b"")
            rows = len(world.writers.committed)
            asking = draw(rng, world.profile, known=known, rows=rows)
            self.ask(instance, page, asking, patience_s=patience_s)

    def ask(
        self, instance: Instance, page: Page, asking: Asking, *, patience_s: float = ANSWER_S_MAX
    ) -> None:
        """Send one request."""
        exchange = exchange_of(self.world, instance, page, asking)
        self._clients.create_task(exchange.run(patience_s=patience_s))

    def invalidate(self, instance: Instance, kind: int, page: Page, *, soft: bool) -> None:
        """Change data, and have an instance invalidate it; then wait for it at another one."""
        _, tags, paths = CHANGES[kind]

        async def change_and_invalidate() -> None:
            await instance.serves()
            if instance not in self.living:
                return
            change = self.world.writers.change_here(kind, soft=soft)
            instance.known.made(change)
            mode = "soft" if soft else "hard"
            self.world.note(instance.name, "", f"invalidates {change.versions} ({mode})")
            try:
                seq = await instance.cache.invalidate(tags=tags, paths=paths, soft=soft)
            except LogUnavailableError:
                self.world.tally["change: invalidated here alone"] += 1
                return
            await self._wait_for(seq, change, page)

        self._clients.create_task(change_and_invalidate())

    async def _wait_for(self, seq: int, change: Change, page: Page) -> None:
        """Wait until an instance has applied a change; from then on it is held to it."""
        other = self.world.rng.choice(self.living)
        await other.serves()
        if other in self.living and await other.cache.applied(seq, timeout_s=APPLIED_S_MAX):
            self.world.tally["change: applied elsewhere"] += 1
            self.world.note(other.name, "", f"has applied {seq}")
            other.known.take(change)
            await exchange_of(self.world, other, page, Asking()).run()

    def ask_later(self, instance: Instance, page: Page, asking: Asking, *, after_s: float) -> None:
        """Send one request after a while."""

        async def wait_and_ask() -> None:
            await asyncio.sleep(after_s)
            await exchange_of(self.world, instance, page, asking).run()

        self._clients.create_task(wait_and_ask())
