"""The simulated app: reads each datum at its own moment, fails in every way, answers with 304."""

import asyncio
from collections.abc import Mapping

from asgi_isr.types import Headers, Receive, Scope, Send

from simulation.asking import given
from simulation.pages import (
    ANY,
    BY_PATH,
    LANGUAGE,
    NOBODY,
    POLICY,
    Content,
    Page,
    Vector,
    body,
    etag,
    is_public,
)
from simulation.profile import LOCK_TTL_S, RENDER_TIMEOUT_S
from simulation.world import World
from simulation.writers import SOURCE

CALM_POLICY = "max-age=600"
FORSAKEN = 0.5  # how many renders read in a database that was forsaken, while there is one
REFUSALS = (400, 409, 500, 503)  # of changes
DONE = (200, 201, 204, 303)
DISRUPTIONS = (
    "slow", "slow", "times out", "raises", "raises no Exception", "cancelled by the app", "503",
    "no-store", "fails half-way",
)  # fmt: skip


class OutcryError(BaseException):
    """An exception that is no `Exception`, as some frameworks raise."""


class Application:
    """The app of one instance; `instance` is its name."""

    def __init__(self, world: World, instance: str) -> None:
        self._world = world
        self._instance = instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Render the page at the scope's path, and watch how many do so at a time."""
        await receive()
        page = BY_PATH[scope["path"]]
        if scope["method"] not in {"GET", "HEAD"}:
            await self._change(page, scope, send)
            return
        self._started(page)
        rendering, key = self._world.rendering, (self._instance, page.path)
        rendering[key] = rendering.get(key, 0) + 1
        try:
            await self._render(page, scope, send)
        finally:
            rendering[key] -= 1

    def _started(self, page: Page) -> None:
        """Judge: who renders under the fleet's lock renders alone under it."""
        world = self._world
        world.note(self._instance, page.path, "render begins")
        for holders in world.locks.holders(page.path):
            others = [name for name in holders if world.rendering.get((name, page.path), 0)]
            if self._instance in holders and set(others) - {self._instance}:
                world.violated("one render", page.path, f"{self._instance} renders beside {others}")

    async def _render(self, page: Page, scope: Scope, send: Send) -> None:
        world, rng = self._world, self._world.rng
        disruption = ""
        if not world.calm and rng.random() < world.profile.failures:
            disruption = rng.choice(DISRUPTIONS)
            world.tally[f"render: {disruption}"] += 1
        vector, origin = await self._read(page)
        if disruption == "slow":
            await asyncio.sleep(rng.uniform(LOCK_TTL_S, RENDER_TIMEOUT_S))
        elif disruption == "times out":
            await asyncio.sleep(RENDER_TIMEOUT_S * 2)
        elif disruption == "raises":
            raise OSError("the page failed")
        elif disruption == "raises no Exception":
            raise OutcryError
        elif disruption == "cancelled by the app":
            raise asyncio.CancelledError
        policy = CALM_POLICY if world.calm else rng.choice(world.profile.policies)
        if disruption == "no-store":
            policy = "no-store"
        headers, content = self._described(page, vector, policy, scope)
        headers.insert(0, (b"cache-origin", b"%s=%d" % (SOURCE.encode(), origin)))
        validator = headers[-1][1]
        status = 503 if disruption == "503" else 200
        asked = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        if status == 200 and validator in asked:
            world.tally["render: 304"] += 1
            status = 304
        world.note(self._instance, page.path, f"render ends: {status} {validator.decode()}")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        whole = body(page, content) if status != 304 else b""
        if disruption == "fails half-way":
            await send({"type": "http.response.body", "body": whole[:3], "more_body": True})
            await asyncio.sleep(world.pause_s(0.1))
            raise OSError("failed on the way")
        await send({"type": "http.response.body", "body": whole})

    def _described(
        self, page: Page, vector: Vector, policy: str, scope: Scope
    ) -> tuple[Headers, Content]:
        """Return the fields of a response and what the page is made of."""
        value, user = given(dict(scope["headers"]))
        varies = self._world.varying[page.path]
        content = Content(
            vector, value if varies else ANY, NOBODY if is_public(policy.encode()) else user
        )
        headers = [
            (b"cache-control", policy.encode()),
            (POLICY, policy.encode()),
            (b"cache-tag", ",".join(page.tags).encode()),
            (b"etag", b'"' + etag(content) + b'"'),
        ]
        return ([(b"vary", LANGUAGE), *headers] if varies else headers), content

    async def _change(self, page: Page, scope: Scope, send: Send) -> None:
        """Change the data of a page, or refuse to, and say so; the versions are in the `ETag`."""
        world, rng = self._world, self._world.rng
        await asyncio.sleep(world.pause_s(world.profile.render_s_max))
        if rng.random() < 0.2:
            status, vector = rng.choice(REFUSALS), tuple(0 for _ in page.names)
        else:
            status, vector = rng.choice(DONE), world.writers.change(page, whole=rng.random() < 0.5)
            world.note(self._instance, page.path, f"{scope['method']} changes it to {vector}")
            if rng.random() < 0.5:
                world.writers.tell(page)
        await asyncio.sleep(world.pause_s(world.profile.render_s_max))
        headers = [(b"etag", b'"' + etag(Content(vector, ANY, NOBODY)) + b'"')]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _read(self, page: Page) -> tuple[Vector, int]:
        """Read every datum, with time between the reads; return them, and which database it was.

        One that the writers have left is as well a place to read from, for who knows no better.
        """
        world = self._world
        versions: Mapping[str, int] = world.writers.versions
        origin = world.writers.origin
        if world.writers.forsaken is not None and world.rng.random() < FORSAKEN:
            versions, origin = world.writers.forsaken, origin - 1
        found: dict[str, int] = {}
        names = list(page.names)
        world.rng.shuffle(names)
        for at, name in enumerate(names):
            if at < 2:
                await asyncio.sleep(world.pause_s(world.profile.render_s_max))
            found[name] = versions[name]
        vector = tuple(found[name] for name in page.names)
        await asyncio.sleep(world.pause_s(world.profile.render_s_max))
        return vector, origin
