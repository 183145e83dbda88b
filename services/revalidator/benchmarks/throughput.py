"""How many events one replica works off in a second, and what one costs it in CPU time.

    python services/revalidator/benchmarks/throughput.py [events] [instances]

Starts its own NATS and Valkey, one revalidator as a process, instances that follow the log and
report their positions, and a consumer of receipts. Prints events/s from the first publication to
the last receipt, and the CPU time of the revalidator, per event.
"""

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from asgi_isr.events import STREAM, SUBJECT_PREFIX
from asgi_isr.logs.nats import NatsLog, connect, ensure_instances_stream, ensure_stream
from asgi_isr.nats import ConsumerSpec, Link, ensure_consumer
from asgi_isr.reports import Report
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from perfcheck_chassis.settings import environment
from perfcheck_contracts import (
    EVENT_CONSUMERS,
    LOG_API,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
    ReceiptBatch,
)
from perfcheck_embedded import Servers, free_port, servers

LEASE_S = 15.0
READY_S = 30.0
LIMIT_S = 300.0
CHUNK = 500
BODY = b'{"tags":["currency:usd","currency:jpy"],"paths":["/pairs/usd/"],"reason":"benchmark"}'


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process and its children have used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_s(int(child)) for child in children)


async def instance(url: str, name: str) -> None:
    """Follow the log as an instance does: register, report each batch, until cancelled."""
    log = NatsLog(url, source=name, api_prefix=LOG_API)
    position = (await log.bounds()).last

    async def register() -> None:
        while True:
            await log.register(Report(instance=name, position=position, lease_s=LEASE_S))
            await asyncio.sleep(LEASE_S / 3)

    async with asyncio.TaskGroup() as group:
        group.create_task(register())
        async for batch in log.read(position):
            position = batch[-1].seq
            await log.report(Report(instance=name, position=position, lease_s=LEASE_S))


async def receipts(client: Client, count: int, instances: int) -> int:
    """Consume receipts until `count` events are done everywhere; return how many parts it took."""
    js = client.jetstream()
    subscription = await js.pull_subscribe(RECEIPTS_SUBJECT, durable="benchmark")
    done: set[str] = set()
    parts = 0
    decoder = msgspec.json.Decoder(ReceiptBatch)
    while len(done) < count:
        try:
            messages = await subscription.fetch(16, timeout=1)
        except (TimeoutError, NatsTimeoutError):
            continue
        for message in messages:
            batch = decoder.decode(message.data).receipts
            parts += len(batch)
            done.update(
                receipt.id
                for receipt in batch
                if receipt.stage == "done"
                and receipt.applied is not None
                and receipt.applied.instances == instances
                and not receipt.applied.missing
            )
            await message.ack()
    return parts


async def publish(client: Client, count: int) -> None:
    """Publish `count` events as fast as the broker takes them."""
    for number in range(count):
        headers = {"ce-id": f"event-{number}", "ce-time": "2026-01-02T03:04:05+00:00",
                   "Nats-Msg-Id": f"event-{number}", "Cache-Sequence": str(number + 1)}  # fmt: skip
        await client.publish("cache.invalidations.v1.api", BODY, headers=headers)
        if number % CHUNK == CHUNK - 1:
            await client.flush()
    await client.flush()


def ready(port: int) -> bool:
    """Say whether the revalidator answers that it is well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004  OK
    except (urllib.error.URLError, OSError):
        return False


@asynccontextmanager
async def revalidator(running: Servers) -> AsyncIterator[int]:
    """Run the service as a process; give its id."""
    port = free_port()
    own = {
        "PERFCHECK_NATS_URL": running.nats_urls["revalidator"],
        "PERFCHECK_VALKEY_URL": running.valkey_url,
        "PERFCHECK_PORT": str(port),
        "PERFCHECK_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen(  # noqa: ASYNC220  our own module, started once
        [sys.executable, "-m", "perfcheck_revalidator"], env={**environment(), **own}
    )
    try:
        async with asyncio.timeout(READY_S):
            while not await asyncio.to_thread(ready, port):  # noqa: ASYNC110  of another process
                await asyncio.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(READY_S)


async def measure(running: Servers, events: int, instances: int) -> None:
    """Publish, wait for every receipt, and print."""
    client = await connect(running.nats_url, name="benchmark")
    js = client.jetstream()
    await ensure_stream(js)
    await ensure_instances_stream(js)
    await js.add_stream(name=RECEIPTS_STREAM, subjects=[RECEIPTS_SUBJECT], retention="workqueue")
    for facts in EVENT_CONSUMERS:
        spec = ConsumerSpec(stream=STREAM, subject=f"{SUBJECT_PREFIX}.>", **facts._asdict())
        await ensure_consumer(Link(client, name="benchmark"), spec)
    url = running.nats_urls["frontend-bff"]
    works: list[Coroutine[Any, Any, None]] = [
        instance(url, f"instance-{number}") for number in range(instances)
    ]
    async with asyncio.TaskGroup() as group, revalidator(running) as pid:
        tasks = [group.create_task(work) for work in works]
        await asyncio.sleep(2)  # they register, the observer loads them
        used_s, began_s = cpu_s(pid), time.perf_counter()
        sending = group.create_task(publish(client, events))
        async with asyncio.timeout(LIMIT_S):
            parts = await receipts(client, events, instances)
        taken_s, used_s = time.perf_counter() - began_s, cpu_s(pid) - used_s
        await sending
        for task in tasks:
            task.cancel()
    sys.stdout.write(
        f"{events} events, {instances} instances: {events / taken_s:,.0f} events/s, "
        f"{used_s / events * 1e6:.0f} us CPU per event, {parts} parts\n"
    )
    await client.close()


def main() -> None:
    """Measure with what the command line says."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    instances = int(sys.argv[2]) if len(sys.argv) > 2 else 4  # noqa: PLR2004  the second argument
    with servers(postgres=False) as running:
        asyncio.run(measure(running, events, instances))


if __name__ == "__main__":
    main()
