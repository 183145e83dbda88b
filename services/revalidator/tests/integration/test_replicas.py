"""Replicas as real processes, and instances that really vanish."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgi_isr import Invalidation
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import NatsLog
from asgi_isr.reports import Report
from asgi_isr.testing import eventually
from litestar.testing import AsyncTestClient
from nats.aio.client import Client
from perfcheck_chassis.http_client import NeighbourError, ServiceClient
from perfcheck_chassis.settings import environment
from perfcheck_contracts import EVENT_CONSUMER_FIRST
from perfcheck_embedded import Servers, free_port
from perfcheck_revalidator.app import create_app
from perfcheck_revalidator.settings import Settings

pytestmark = pytest.mark.integration

EVENTS = 500


class Replicas:
    """Processes of the service on the test's servers."""

    def __init__(self, running: Servers, folder: Path) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports: dict[int, int] = {}
        self._running = running
        self._folder = folder

    async def start(self) -> subprocess.Popen[bytes]:
        """Start one more, and wait until it is well."""
        port = free_port()
        own = {
            "PERFCHECK_PORT": str(port),
            "PERFCHECK_INSTANCE_ID": f"replica-{len(self.processes)}",
            "PERFCHECK_NATS_URL": self._running.nats_urls["revalidator"],
            "PERFCHECK_VALKEY_URL": self._running.valkey_url,
        }
        log = self._folder / f"{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220  started once, and awaited below
                [sys.executable, "-m", "perfcheck_revalidator"],
                env={**environment(), **own},
                stdout=output,
                stderr=output,
                start_new_session=True,  # its workers die with it
            )
        self.ports[process.pid] = port
        self.processes.append(process)
        async with ServiceClient(f"http://127.0.0.1:{port}") as client:

            async def healthy() -> bool:
                assert process.poll() is None, log.read_text()
                health = await client.get("/api/health")
                return health.status == 200 and b'"warn"' not in health.body

            await eventually(healthy, timeout_s=30, poll_s=0.05, ignoring=(NeighbourError,))
            return process


async def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a replica with all its processes, as the kernel would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def redeliveries(port: int) -> float:
    """Return how many events a replica was handed that another had before."""
    async with ServiceClient(f"http://127.0.0.1:{port}") as client:
        text = (await client.get("/metrics")).body.decode()
    [line] = [
        line for line in text.splitlines() if "redeliveries_total " in line and "#" not in line
    ]
    return float(line.rpartition(" ")[2])


@pytest.fixture
async def replicas(running: Servers, client: Client, tmp_path: Path) -> AsyncIterator[Replicas]:
    """Give processes that are gone at the end."""
    assert client.is_connected  # what the api makes is there
    opened = Replicas(running, tmp_path)
    yield opened
    for process in opened.processes:
        await kill(process)


async def pending(client: Client) -> int:
    """Return how many events were handed out and not settled."""
    info = await client.jetstream().consumer_info(STREAM, EVENT_CONSUMER_FIRST.durable)
    return info.num_ack_pending or 0


async def under_way(client: Client, count: int) -> None:
    """Wait until `count` events were handed out."""

    async def handed_out() -> bool:
        return await pending(client) >= count

    await eventually(handed_out, timeout_s=20)


async def test_a_killed_replica_costs_no_event(
    replicas: Replicas, publisher: NatsLog, client: Client, instances: NatsLog, receiver: Any
) -> None:
    """Of 500 events that two replicas had begun when one was killed, each ends with one receipt."""
    report = Report(instance="bff", position=0, lease_s=60.0)
    await instances.register(report)
    victim = await replicas.start()
    survivor = await replicas.start()
    last = 0
    for number in range(EVENTS):
        last = await publisher.publish(Invalidation(tags=("a",)), "api", f"id-{number}")
    await under_way(client, EVENTS)
    await kill(victim)
    await instances.register(msgspec.structs.replace(report, position=last))
    for number in range(EVENTS):
        await receiver.stage(f"id-{number}", "done", within_s=60)
    assert len(receiver.receipts) == EVENTS
    assert {receipt.stage for receipt in receiver.receipts.values()} == {"done"}

    async def settled() -> bool:
        return not await pending(client)

    await eventually(settled, timeout_s=10)
    assert await redeliveries(replicas.ports[survivor.pid]) > 0


async def test_a_stopped_replica_gives_back_what_it_had_begun(
    replicas: Replicas, publisher: NatsLog, client: Client, instances: NatsLog
) -> None:
    """Stopped in the middle, a replica ends within its limit; another has its events at once."""
    await instances.register(Report(instance="bff", position=0, lease_s=60.0))
    replica = await replicas.start()
    for number in range(20):
        await publisher.publish(Invalidation(tags=("a",)), "api", f"id-{number}")
    await under_way(client, 20)
    replica.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(replica.wait, 15) == 0
    subscription = await client.jetstream().pull_subscribe_bind(
        EVENT_CONSUMER_FIRST.durable, STREAM
    )
    messages: list[Any] = []
    async with asyncio.timeout(5):
        while len(messages) < 20:
            messages += await subscription.fetch(20 - len(messages), timeout=3)
    assert {message.metadata.num_delivered for message in messages} == {2}


async def test_an_instance_that_vanished_is_named(
    settings: Settings, publisher: NatsLog, instances: NatsLog, receiver: Any
) -> None:
    """An instance without a word is waited for until its lease is over; the receipt names it."""
    patient = msgspec.structs.replace(settings, lease_s=10.0)
    app = create_app(patient)
    async with AsyncTestClient(app) as http:

        async def known() -> bool:
            checks = (await http.get("/api/health")).json()["checks"]
            return bool(checks["instances"]["status"] == "pass")

        await eventually(known, timeout_s=10)
        await instances.register(Report(instance="gone", position=0, lease_s=1.0))
        await instances.register(Report(instance="here", position=10**18, lease_s=60.0))
        await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
        receipt = await receiver.stage("id-1", "done")
    assert receipt.applied is not None
    assert receipt.applied.vanished == ["gone"]
    assert receipt.applied.missing == []
    assert set(receipt.applied.each or ()) == {"here"}
