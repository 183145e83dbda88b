import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync

Start = Callable[..., Any]

pytestmark = pytest.mark.integration


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended but was not reaped does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_stops_orderly_on_sigterm(start_service: Start) -> None:
    """On SIGTERM the request under way is answered, the lifespan is left, and the status is 0."""
    service = start_service()
    service.wait_ready()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.get, "/slow?seconds=0.7")
        eventually_sync(lambda: "slow request began" in service.log(), timeout_s=10)
        service.process.send_signal(signal.SIGTERM)
        assert answer.result(10) == (200, {"slept": 0.7})
    assert service.process.wait(10) == 0
    assert "lifespan left" in service.log()
    assert service.log().endswith("served\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port))


def test_every_log_line_is_json(start_service: Start) -> None:
    """The server's own messages are JSON lines with service and instance, like all others."""
    service = start_service(instance_id="sample-7")
    service.wait_ready()
    service.process.terminate()
    service.process.wait(10)
    lines = service.log().splitlines()
    assert lines.pop() == "served"
    assert len(lines) == len(service.logged())
    assert {"_granian", "sample"} <= {line["logger"] for line in service.logged()}
    assert {line["instance"] for line in service.logged()} == {"sample-7"}


def test_worker_shares_the_instance_id(start_service: Start) -> None:
    """Health and the logs of both processes name the same instance, by the main process's pid."""
    service = start_service()
    service.wait_ready()
    instance = service.get("/api/health")[1]["instance"]
    assert instance.endswith(f"-{service.process.pid}")
    assert {line["instance"] for line in service.logged()} == {instance}


def test_processes_are_named(start_service: Start) -> None:
    """The process list shows the service and its worker by name."""
    service = start_service()
    service.wait_ready()
    worker = service.get("/who")[1]["pid"]
    assert Path(f"/proc/{service.process.pid}/comm").read_text() == "sample\n"
    assert Path(f"/proc/{worker}/comm").read_text() == "sample-worker\n"


def test_drains_before_it_stops(start_service: Start) -> None:
    """With a drain time, SIGTERM turns readiness to 503 while requests go on; then it stops."""
    service = start_service(drain_s="1")
    service.wait_ready()
    began = time.monotonic()
    service.process.terminate()
    eventually_sync(lambda: service.get("/api/health")[0] == 503, timeout_s=10)
    assert service.get("/api/health")[1]["status"] == "draining"
    assert service.get("/api/health/live")[0] == 200
    assert service.get("/who")[0] == 200
    assert service.process.wait(10) == 0
    assert time.monotonic() - began >= 1


def test_second_signal_ends_the_drain(start_service: Start) -> None:
    """A second SIGTERM does not wait for the rest of the drain time."""
    service = start_service(drain_s="60")
    service.wait_ready()
    service.process.terminate()
    eventually_sync(lambda: service.get("/api/health")[0] == 503, timeout_s=10)
    service.process.terminate()
    assert service.process.wait(10) == 0


def test_stopped_while_it_starts(start_service: Start) -> None:
    """A SIGTERM between the lifespan's start and the server's is not lost: no worker is killed."""
    service = start_service()
    eventually_sync(lambda: "lifespan entered" in service.log(), timeout_s=20, poll_s=0)
    service.process.terminate()
    assert service.process.wait(60) == 0
    assert "lifespan left" in service.log()
    assert "Killing" not in service.log()


def test_interrupt_of_the_group_drains_too(start_service: Start) -> None:
    """Ctrl-C reaches main process and worker at once; the worker still waits for the drain."""
    service = start_service(drain_s="1")
    service.wait_ready()
    os.killpg(service.process.pid, signal.SIGINT)
    eventually_sync(lambda: service.get("/api/health")[0] == 503, timeout_s=10)
    assert service.get("/who")[0] == 200
    assert service.process.wait(10) == 0


def test_dead_worker_ends_the_service(start_service: Start) -> None:
    """When the worker dies the whole process ends with status 1, for the supervisor to see."""
    service = start_service()
    service.wait_ready()
    with contextlib.suppress(OSError):
        service.get("/crash")
    assert service.process.wait(10) == 1


def test_worker_outlives_no_killed_main(start_service: Start) -> None:
    """When the main process is killed the worker stops by itself, orderly."""
    service = start_service()
    service.wait_ready()
    worker = service.get("/who")[1]["pid"]
    assert worker != service.process.pid
    service.process.kill()
    service.process.wait(10)
    eventually_sync(lambda: not alive(worker), timeout_s=10)
    assert "lifespan left" in service.log()


def test_failing_start_is_told(start_service: Start) -> None:
    """A lifespan that raises ends the service with status 1 and the reason in the log."""
    service = start_service(start_fails="true")
    assert service.process.wait(20) == 1
    assert "the database has no schema" in service.log()


def test_taken_address_is_told(start_service: Start, free_port: int) -> None:
    """A port that somebody else has is named in one line, with the way out."""
    with socket.create_server(("127.0.0.1", free_port)):
        service = start_service()
        assert service.process.wait(20) == 1
    assert f"cannot listen on 127.0.0.1:{free_port}: Address already in use" in service.log()
    assert "PERFCHECK_PORT" in service.log()
    assert "Traceback" not in service.log()


def test_body_without_length_is_limited(start_service: Start) -> None:
    """A chunked body that grows over the limit is refused with 413."""
    service = start_service()
    service.wait_ready()
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"65\r\n" + b" " * 0x65 + b"\r\n0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
