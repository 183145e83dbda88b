import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from asgi_isr import Invalidation
from asgi_isr.coherence import read_snapshot
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import eventually
from perfcheck_chassis.http_client import NeighbourError, ServiceClient
from perfcheck_chassis.settings import environment
from perfcheck_embedded import Servers

pytestmark = pytest.mark.integration


def start(log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start the service as its own process, logging to `log`."""
    own = {f"PERFCHECK_{name.upper()}": value for name, value in variables.items()}
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "perfcheck_revalidator"],
            env={**environment(), **own},
            stdout=stderr,
            stderr=stderr,
        )


async def test_serves_until_sigterm(
    running: Servers, publisher: NatsLog, store: RedisStore, tmp_path: Path
) -> None:
    """`python -m perfcheck_revalidator` becomes healthy, and stops with a last snapshot."""
    seq = await publisher.publish(Invalidation(tags=("a",)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path / "revalidator.log"
    process = start(
        log,
        port=str(port),
        nats_url=running.nats_urls["revalidator"],
        valkey_url=running.valkey_url,
        snapshot_interval_s="3600",
    )
    try:
        async with ServiceClient(f"http://127.0.0.1:{port}") as client:

            async def healthy() -> bool:
                assert process.poll() is None, log.read_text()
                return (await client.get("/api/health")).status == 200

            await eventually(healthy, timeout_s=30, poll_s=0.05, ignoring=(NeighbourError,))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
    finally:
        process.kill()
        process.wait()
    snapshot = await read_snapshot(store, "isr")
    assert snapshot is not None
    assert snapshot.position == seq
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"revalidator"}


def test_says_what_is_missing(tmp_path: Path) -> None:
    """Without settings it names the variables and ends with status 2."""
    log = tmp_path / "revalidator.log"
    process = start(log, nats_url="", valkey_url="", port="http")
    assert process.wait(20) == 2
    assert "PERFCHECK_NATS_URL: required" in log.read_text()
    assert "PERFCHECK_PORT: expected an integer, got 'http'" in log.read_text()
    assert "Traceback" not in log.read_text()
