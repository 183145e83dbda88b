"""Ports that another program takes between choosing and binding."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from perfcheck_embedded import (
    LOOPBACK,
    Event,
    PortTakenError,
    Process,
    ProcessFailedError,
    Servers,
    StateDir,
    Supervisor,
    free_port,
    free_ports,
    servers,
    supervised,
)

NAMES = ("postgres", "valkey", "nats")
LISTEN = """
import socket, sys, time
sys.stdout.write("listening\\n")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
sys.stderr.write(f"at {sys.argv[2]}\\n")
time.sleep(600)
"""
TAKE = "from perfcheck_embedded import ports; print(ports._reservations.take({port}))"


@pytest.fixture
def taken() -> Iterator[Callable[[], int]]:
    """Give a function that returns a port on which this test listens."""
    with ExitStack() as listeners:

        def take() -> int:
            port = free_port()
            listeners.enter_context(socket.create_server((LOOPBACK, port)))
            return port

        yield take


def alone(name: str, choose_ports: Callable[[int], list[int]] = free_ports) -> servers:
    """Return one server, to be entered."""
    return servers(
        postgres=name == "postgres",
        valkey=name == "valkey",
        nats=name == "nats",
        choose_ports=choose_ports,
    )


def port_of(name: str, running: Servers) -> int:
    """Return the port in the address of a server."""
    urls = dict(
        zip(NAMES, (running.database_url, running.valkey_url, running.nats_url), strict=True)
    )
    return urlsplit(urls[name]).port or 0


@pytest.mark.parametrize("name", NAMES)
def test_a_server_whose_port_is_taken_starts_on_another(
    taken: Callable[[], int], name: str
) -> None:
    """The port is taken after it was chosen: it starts on a new one, and its address says so."""
    place = NAMES.index(name)
    chosen: list[list[int]] = []

    def choose(count: int) -> list[int]:
        ports = free_ports(count)
        if not chosen:
            ports[place] = taken()
        chosen.append(ports)
        return ports

    with alone(name, choose) as running:
        assert len(chosen) == 2
        assert port_of(name, running) == chosen[1][place]


@pytest.mark.parametrize("name", NAMES)
def test_another_server_of_the_same_kind_is_not_taken_for_ours(name: str) -> None:
    """A server of somebody else answers at the port before ours has failed: ours goes elsewhere."""
    with alone(name) as other:
        port = port_of(name, other)
        choices = iter([[port] * len(NAMES)])
        with alone(name, lambda count: next(choices, None) or free_ports(count)) as ours:
            assert port_of(name, ours) != port
            assert ours.pids()[name] != other.pids()[name]


def test_starts_are_bounded(taken: Callable[[], int]) -> None:
    """When every choice is taken it ends with an error that says why, and nothing runs."""
    port, choices = taken(), 0

    def choose(_: int) -> list[int]:
        nonlocal choices
        choices += 1
        return [port] * len(NAMES)

    with pytest.raises(PortTakenError, match="valkey"):
        alone("valkey", choose).__enter__()
    assert choices == 5


async def test_whoever_needs_the_address_gets_the_new_one(
    open_path: object, tmp_path_factory: pytest.TempPathFactory, taken: Callable[[], int]
) -> None:
    """Everything is described again: other parts, and what `run.json` tells, name the new port."""
    del open_path
    ports = iter([taken(), free_port()])
    made: list[int] = []
    events: list[Event] = []
    with StateDir(tmp_path_factory.mktemp("state") / "s", throw_away=True) as state:

        def make() -> Supervisor:
            made.append(port := next(ports))
            first = Process(
                name="first",
                argv=[sys.executable, "-c", LISTEN, str(port), "itself"],
                ready=lambda: _answers(port),
                port=port,
                restart=True,
            )
            second = Process(
                name="second", argv=["/bin/sh", "-c", f"echo {port}; sleep 600"], needs=["first"]
            )
            return Supervisor(state, [first, second], facts={"port": port}, on_event=events.append)

        async with supervised(make, on_event=events.append):
            assert len(made) == 2
            assert (state.read_run() or {})["port"] == made[1]
            assert state.log_tail("second") == str(made[1])
    (again,) = [event for event in events if event.kind == "restarting"]
    assert again.name == "first"
    assert "new ports" in again.detail


async def test_another_failure_is_not_tried_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Only a taken port is a reason to choose again."""
    made = 0
    with StateDir(tmp_path_factory.mktemp("state") / "s", throw_away=True) as state:

        def make() -> Supervisor:
            nonlocal made
            made += 1
            broken = Process(
                name="broken",
                argv=["/bin/sh", "-c", "echo broken; exit 3"],
                ready=lambda: _answers(1),
                port=free_port(),
            )
            return Supervisor(state, [broken])

        with pytest.raises(ProcessFailedError, match="exit code 3"):
            async with supervised(make):
                pass
    assert made == 1


def test_processes_do_not_choose_each_others_ports() -> None:
    """A port that was chosen here stays ours until this process ends, bound or not."""
    port = free_port()
    assert _taken_by_another(port) == "False"
    assert port not in free_ports(100)


def _taken_by_another(port: int) -> str:
    code = TAKE.format(port=port)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


async def _answers(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=2):
        return True
