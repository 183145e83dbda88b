"""One instance of a fleet as a process of its own: `fleet_instance.py SETTINGS`, told by lines.

Each line of standard input is a command as JSON, each line of standard output its answer:
`ask` sends `count` requests at once, `wait` waits for a position, `hold` keeps renders from ending.
"""

import asyncio
import os
import sys

import msgspec
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import RecordingApp, ready, request

ANSWER_S_MAX = 20.0


class Fleet(msgspec.Struct, kw_only=True):
    """What this process is started with."""

    nats_url: str
    valkey_url: str
    render_s: float
    settings: CacheSettings


class Command(msgspec.Struct, kw_only=True):
    """What to do next."""

    do: str
    count: int = 1
    position: int = 0
    render_s: float = 0.0


class SlowApp(RecordingApp):
    """Renders for `render_s` seconds a page that names this process and the render."""

    render_s = 0.0

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Render slowly."""
        self.bodies[scope["path"]] = b"%d:%d" % (os.getpid(), len(self.renders) + 1)
        await asyncio.sleep(self.render_s)
        await super().__call__(scope, receive, send)


def say(**answer: object) -> None:
    """Write one answer."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def ask(app: CacheMiddleware, count: int) -> None:
    """Send requests at once and say what came."""
    started = asyncio.get_running_loop().time()
    replies = await asyncio.gather(*(request(app, "/page") for _ in range(count)))
    took_s = asyncio.get_running_loop().time() - started
    bodies = sorted({reply.body.decode() for reply in replies})
    statuses = sorted({reply.status for reply in replies})
    say(bodies=bodies, statuses=statuses, took_s=took_s)


async def main(fleet: Fleet) -> None:
    """Obey until standard input ends."""
    recording = SlowApp("max-age=1000")
    recording.render_s = fleet.render_s
    cache = PageCache(
        fleet.settings,
        log=NatsLog(fleet.nats_url, publish_marks=True),
        store=RedisStore(fleet.valkey_url),
    )
    app = CacheMiddleware(recording, cache)
    decoder = msgspec.json.Decoder(Command)
    async with cache, asyncio.TaskGroup() as tasks:
        await ready(cache, timeout_s=ANSWER_S_MAX)
        say(ready=True)
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            command = decoder.decode(line)
            if command.do == "ask":
                tasks.create_task(ask(app, command.count))
            elif command.do == "wait":
                say(reached=await cache.applied(command.position, timeout_s=ANSWER_S_MAX))
            elif command.do == "hold":
                recording.gate.clear()
                tasks.create_task(ask(app, 1))
                await recording.started.wait()
                say(rendering=True)
            elif command.do == "release":
                recording.gate.set()
            elif command.do == "count":
                say(renders=len(recording.renders), store=cache.counters.store_failures)


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Fleet)))
