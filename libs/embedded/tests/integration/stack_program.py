"""A small `up`: runs the named parts on a state directory and prints what happens as JSON lines.

python stack_program.py STATE PARTS [fresh]     PARTS: comma-separated, of postgres, valkey, nats,
migrate (a one-shot that needs the servers), app (a main process with a worker, needs migrate) and
deaf (a process that ignores SIGTERM).
"""

import asyncio
import json
import sys
from pathlib import Path

from perfcheck_embedded import (
    STOP_SIGNALS,
    EmbeddedError,
    Event,
    Process,
    RestartPolicy,
    StateDir,
    StopRequestedError,
    Supervisor,
    find_binaries,
    free_ports,
    nats,
    postgres,
    supervised,
    valkey,
)

# As Granian: a main process and a worker in its process group that survives the main's death.
_APP = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("worker", worker.pid, flush=True)
try:
    time.sleep(600)
finally:
    worker.kill()
"""

_DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def say(**what: object) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


def report(event: Event) -> None:
    """Print an event."""
    say(event=event.kind, name=event.name, detail=event.detail)


def build(state: StateDir, names: list[str]) -> tuple[list[Process], dict[str, str]]:
    """Return the named parts, and the addresses of the servers among them."""
    ports = free_ports(3)
    binaries = find_binaries({})
    makers = {
        "postgres": lambda: postgres(state, binaries, port=ports[0], restart=True),
        "valkey": lambda: valkey(state, binaries, port=ports[1], restart=True),
        "nats": lambda: nats(state, binaries, port=ports[2], restart=True, test_user=True),
    }
    servers = {name: makers[name]() for name in names if name in makers}
    processes = [server.process for server in servers.values()]
    if "migrate" in names:
        argv = ["/bin/sh", "-c", "echo migrated"]
        processes.append(Process(name="migrate", argv=argv, needs=tuple(servers), oneshot=True))
    if "app" in names:
        argv = [sys.executable, "-c", _APP]
        needs = ["migrate"] if "migrate" in names else []
        processes.append(Process(name="app", argv=argv, needs=needs, restart=True))
    if "deaf" in names:
        processes.append(Process(name="deaf", argv=[sys.executable, "-c", _DEAF]))
    return processes, {
        name: server.urls.get("test", server.url) for name, server in servers.items()
    }


async def run(path: Path, names: list[str], *, fresh: bool) -> None:
    """Run the parts until a signal asks for the end."""
    with StateDir(path, fresh=fresh) as state:
        urls: dict[str, str] = {}

        def make() -> Supervisor:
            processes, found = build(state, names)
            urls.update(found)
            return Supervisor(
                state,
                processes,
                on_event=report,
                facts={"urls": urls},
                stop_signals=STOP_SIGNALS,
                policy=RestartPolicy(quick_restarts_max=3),
            )

        async with supervised(make, on_event=report) as supervisor:
            say(up=True, pids=supervisor.pids(), urls=urls, watchdog=supervisor.watchdog_pid)
            await supervisor.wait()


if __name__ == "__main__":
    try:
        asyncio.run(run(Path(sys.argv[1]), sys.argv[2].split(","), fresh=sys.argv[3:] == ["fresh"]))
    except StopRequestedError:
        sys.exit(130)
    except EmbeddedError as error:
        say(error=str(error), kind=type(error).__name__)
        sys.exit(4)
