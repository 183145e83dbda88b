import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asgi_isr.testing import eventually
from perfcheck_embedded import (
    Event,
    Process,
    ProcessFailedError,
    RestartPolicy,
    StateDir,
    Supervisor,
    free_port,
    http_ready,
)
from perfcheck_embedded.state.logs import cap_log

_SLEEP = ("sleep", "600")
_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def _shell(name: str, script: str, **options: object) -> Process:
    return Process(name=name, argv=["/bin/sh", "-c", script], env=_ENV, **options)  # type: ignore[arg-type]  # passed through


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    """Give an entered state directory."""
    with StateDir(tmp_path / "state") as entered:
        yield entered


async def test_processes_start_when_what_they_need_is_ready(state: StateDir) -> None:
    """A one-shot runs after its server answers, and the service only when it has finished."""
    events: list[Event] = []
    port = free_port()
    server = Process(
        name="server",
        argv=[sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        ready=http_ready(f"http://127.0.0.1:{port}/"),
        cwd=state.path,
    )
    processes = [
        Process(name="service", argv=_SLEEP, env=_ENV, needs=["load"]),
        _shell("load", "echo loaded", needs=["server"], oneshot=True),
        server,
    ]

    async with Supervisor(state, processes, on_event=events.append) as supervisor:
        assert set(supervisor.pids()) == {"server", "service"}

    assert [(event.kind, event.name) for event in events] == [
        ("starting", "server"),
        ("ready", "server"),
        ("starting", "load"),
        ("finished", "load"),
        ("starting", "service"),
        ("ready", "service"),
        ("stopping", "service"),
        ("stopped", "service"),
        ("stopping", "server"),
        ("stopped", "server"),
    ]
    assert state.log_tail("load") == "loaded"


_REFUSED = http_ready("http://127.0.0.1:9/")  # nothing listens on the discard port


@pytest.mark.parametrize(
    ("process", "complaint"),
    [
        (
            _shell("load", "echo no such table; exit 3", oneshot=True),
            r"load: failed \(exit code 3\)\n.*\nno such table",
        ),
        (
            _shell("load", "exec sleep 600", oneshot=True, start_timeout_s=0.2),
            r"load: did not finish within 0\.2 s",
        ),
        (
            _shell("api", "echo hm; exec sleep 600", start_timeout_s=0.5, ready=_REFUSED),
            r"api: was not ready within 0\.5 s \(last answer: .*Connect call failed.*\)\n.*\nhm",
        ),
        (
            _shell("api", "echo bad setting; exit 2", ready=_REFUSED, restart=True),
            r"api: exited before it was ready \(exit code 2\)\n.*\nbad setting",
        ),
        (
            Process(name="gone", argv=["/no/such/program"], ready=_REFUSED),
            r"gone: exited before it was ready \(exit code 127\)\n.*\n.*/no/such/program",
        ),
        (
            _shell("lost", "true", cwd=Path("/no/such/directory")),
            "lost: cannot be started: .*/no/such/directory",
        ),
    ],
)
async def test_a_process_that_does_not_start_is_named_with_its_log(
    process: Process, complaint: str, state: StateDir, wait_gone: Callable[..., None]
) -> None:
    """A start that fails stops all the rest and says which process, why, and what it printed."""
    pids: set[int] = set()
    other = Process(name="other", argv=_SLEEP, env=_ENV)
    supervisor = Supervisor(
        state, [other, process], on_event=lambda event: pids.update({event.pid or 0} - {0})
    )

    with pytest.raises(ProcessFailedError, match=complaint):
        async with supervisor:
            await supervisor.wait()

    wait_gone(pids, timeout_s=0.1)
    assert supervisor.pids() == {}


async def test_without_restart_a_death_is_fatal(state: StateDir) -> None:
    """When a process that is not to be restarted dies, waiting ends with its name."""
    process = _shell("worker", "echo working; sleep 0.2; exit 7")

    with pytest.raises(ProcessFailedError, match=r"worker: died \(exit code 7\)\n.*\nworking"):
        async with Supervisor(state, [process]) as supervisor:
            await supervisor.wait()


async def test_a_restart_that_never_gets_ready_is_given_up(state: StateDir) -> None:
    """Restarts that fail count as quick deaths, so that they end."""
    mark = state.path / "mark"
    script = f"test -e {mark} && exit 5; touch {mark}; sleep 0.2"
    process = _shell("worker", script, restart=True)
    policy = RestartPolicy(quick_restarts_max=2, delay_first_s=0.01)

    with pytest.raises(ProcessFailedError, match="worker: gave up after 2 quick restarts"):
        async with Supervisor(state, [process], policy=policy) as supervisor:
            await supervisor.wait()


async def test_a_process_deaf_to_its_stop_signal_is_killed_after_its_grace(
    state: StateDir, wait_gone: Callable[..., None]
) -> None:
    """The grace bounds the stop; then the whole process group is killed."""
    events: list[Event] = []
    mark = state.path / "mark"
    script = f"trap '' TERM; touch {mark}; sleep 600 & sleep 600; wait"
    deaf = _shell("deaf", script, stop_grace_s=0.2)

    async with Supervisor(state, [deaf], on_event=events.append) as supervisor:
        await eventually(mark.exists, timeout_s=20)  # the shell has set its trap
        pid = supervisor.pids()["deaf"]

    wait_gone({pid}, timeout_s=0.1)
    assert events[-1].detail == "killed after 0.2 s of grace"


async def test_a_paused_process_can_be_stopped(state: StateDir) -> None:
    """A frozen process is thawed to hear its stop signal."""
    events: list[Event] = []
    sleeper = Process(name="sleeper", argv=_SLEEP, env=_ENV)

    async with Supervisor(state, [sleeper], on_event=events.append) as supervisor:
        supervisor.signal_one("sleeper", signal.SIGSTOP)

    assert (events[-1].kind, events[-1].detail) == ("stopped", "")


async def test_the_environment_of_a_process_is_what_it_was_given(state: StateDir) -> None:
    """Nothing of the supervisor's own environment leaks into a process."""
    process = Process(
        name="show", argv=["/usr/bin/env"], env={"ONLY": "this, and 'that'\n"}, oneshot=True
    )

    async with Supervisor(state, [process]):
        pass

    shown = state.log_tail("show").splitlines()
    assert "ONLY=this, and 'that'" in shown
    assert {line.partition("=")[0] for line in shown if "=" in line} <= {"ONLY", "PWD"}


async def test_a_removed_state_directory_does_not_prevent_the_stop(
    state: StateDir, wait_gone: Callable[..., None]
) -> None:
    """Everything is still stopped when somebody deleted the directory meanwhile."""
    async with Supervisor(state, [Process(name="a", argv=_SLEEP, env=_ENV)]) as supervisor:
        pids = set(supervisor.pids().values())
        await asyncio.create_subprocess_exec("rm", "-r", str(state.path))
        await eventually(lambda: not state.path.exists(), timeout_s=20)

    wait_gone(pids, timeout_s=0.1)


def test_a_log_is_bounded_while_its_process_writes(tmp_path: Path) -> None:
    """A log above its bound moves to `.1`, and the open file goes on at the start."""
    path = tmp_path / "a.log"
    with path.open("ab", buffering=0) as log:
        log.write(b"x" * 1000)
        cap_log(path, bytes_max=1000)
        assert path.stat().st_size == 1000
        log.write(b"y")
        cap_log(path, bytes_max=1000)
        log.write(b"z")

    assert path.read_bytes() == b"z"
    assert (tmp_path / "a.log.1").stat().st_size == 1001
