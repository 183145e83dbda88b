"""The whole system as supervised processes: servers, one-shots, services, in order of need."""

import importlib.util
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from perfcheck_contracts.limits import SUPERVISOR_KILL_S
from perfcheck_embedded import (
    LOOPBACK,
    STOP_SIGNALS,
    EmbeddedError,
    OnEvent,
    Process,
    ProcessFailedError,
    StateDir,
    StopRequestedError,
    Supervisor,
    find_binaries,
    free_ports,
    http_ready,
    kept_secret,
    nats,
    postgres,
    supervised,
    valkey,
)

from perfcheck.concurrent import unless
from perfcheck.exits import InterruptedByUserError, TargetError
from perfcheck.stack.state import Run, required

T = TypeVar("T")
SERVICE_MODULES = ("perfcheck_api", "perfcheck_bff", "perfcheck_revalidator")
READY_S = 60.0  # a cold start on a busy machine
INGEST_S = 300.0


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Processes for a supervisor, and the facts about them that go into `run.json`."""

    processes: Sequence[Process]
    facts: Mapping[str, Any]


def build(
    state: StateDir,
    environ: Mapping[str, str],
    *,
    bffs: int,
    choose_ports: Callable[[int], list[int]] = free_ports,
) -> Stack:
    """Choose free ports and describe every process; the state directory must be entered.

    Raises:
        TargetError: when a service is not installed beside this command.
        EmbeddedError: when a server's program is missing, or its data cannot be prepared.

    """
    _check_installed()
    binaries = find_binaries(environ)
    database_port, valkey_port, nats_port, *ports = choose_ports(5 + bffs)
    database = postgres(state, binaries, port=database_port, restart=True)
    store = valkey(state, binaries, port=valkey_port, restart=True)
    log = nats(state, binaries, port=nats_port, restart=True)
    api_port, revalidator_port, *bff_ports = ports
    api_url, bff_urls = _url(api_port), [_url(port) for port in bff_ports]
    token_key = kept_secret(state, "token.key")
    # As Standard Webhooks write a secret; what is kept is 43 random characters.
    webhook_secret = f"whsec_{b64encode(kept_secret(state, 'webhook.secret').encode()).decode()}"
    shared = {**environ, "PERFCHECK_HOST": LOOPBACK, "PERFCHECK_TOKEN_KEY": token_key}
    api_env = {
        **shared,
        "PERFCHECK_DATABASE_URL": database.url,
        "PERFCHECK_NATS_URL": log.urls["api"],
        "PERFCHECK_WEBHOOK_SECRET": webhook_secret,
    }
    revalidator_env = {
        **shared,
        "PERFCHECK_NATS_URL": log.urls["revalidator"],
        "PERFCHECK_VALKEY_URL": store.url,
        "PERFCHECK_BFF_URL": bff_urls[0],
    }
    bff_env = {
        **shared,
        "PERFCHECK_NATS_URL": log.urls["frontend-bff"],
        "PERFCHECK_VALKEY_URL": store.url,
        "PERFCHECK_API_URL": api_url,
    }
    parts = [
        database.process,
        store.process,
        log.process,
        _oneshot("migrate", ("postgres", "nats"), api_env),
        _oneshot("ingest", ("migrate",), api_env, "--if-empty"),
        _service("api", ("ingest", "nats"), api_env, api_port),
        _service("revalidator", ("api", "valkey"), revalidator_env, revalidator_port),
        *(
            _service(f"bff-{number}", ("api", "valkey"), bff_env, port)
            for number, port in enumerate(bff_ports, start=1)
        ),
    ]
    facts = {
        "urls": {"api": api_url, "bff": bff_urls, "revalidator": _url(revalidator_port)},
        "token_key": token_key,
        "webhook_secret": webhook_secret,
        "database_url": database.url,
        "valkey_url": store.url,
        "nats_url": log.url,
        "nats_urls": dict(log.urls),
    }
    return Stack(processes=parts, facts=facts)


@asynccontextmanager
async def running_stack(
    directory: Path,
    environ: Mapping[str, str],
    *,
    bffs: int,
    fresh: bool = False,
    on_event: OnEvent,
    choose_ports: Callable[[int], list[int]] = free_ports,
) -> AsyncIterator[tuple[Run, Supervisor]]:
    """Bring everything up, yield what runs, and stop it in order when the block is left.

    When another program takes one of the chosen ports first, everything starts on new ones. SIGINT
    and SIGTERM let the supervisor's `wait` return; use `unless_stopped` around work.

    Raises:
        TargetError: when a part is missing, fails, or another supervisor has the directory.
        InterruptedByUserError: when a stop signal came while starting.

    """
    try:
        with StateDir(directory, fresh=fresh) as state:

            def make() -> Supervisor:
                stack = build(state, environ, bffs=bffs, choose_ports=choose_ports)
                return Supervisor(
                    state,
                    stack.processes,
                    on_event=on_event,
                    facts=stack.facts,
                    stop_signals=STOP_SIGNALS,
                )

            async with supervised(make, on_event=on_event) as supervisor:
                yield required(directory), supervisor
    except StopRequestedError:
        raise InterruptedByUserError("stopped") from None
    except ProcessFailedError as error:
        raise TargetError(f"{error}\n(its log: {directory / 'logs' / error.name}.log)") from None
    except (EmbeddedError, OSError) as error:
        raise TargetError(str(error)) from None


async def unless_stopped(supervisor: Supervisor, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, but give it up when a stop is asked for or a process died for good.

    Raises:
        InterruptedByUserError: a stop was asked for before the work was done.
        ProcessFailedError: a process died and was given up.

    """

    async def stop() -> None:
        await supervisor.wait()
        raise InterruptedByUserError("stopped before it was done")

    return await unless(stop, work)


def _check_installed() -> None:
    for module in SERVICE_MODULES:
        if importlib.util.find_spec(module) is None:
            raise TargetError(f"{module} is not installed beside this command: run `make setup`")


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _oneshot(name: str, needs: tuple[str, ...], env: Mapping[str, str], *options: str) -> Process:
    argv = [sys.executable, "-m", "perfcheck_api", name, *options]
    return Process(
        name=name, argv=argv, env=env, needs=needs, oneshot=True, start_timeout_s=INGEST_S
    )


def _service(name: str, needs: tuple[str, ...], env: Mapping[str, str], port: int) -> Process:
    return Process(
        name=name,
        argv=[sys.executable, "-m", f"perfcheck_{name.partition('-')[0]}"],  # bff-2: perfcheck_bff
        env={**env, "PERFCHECK_PORT": str(port), "PERFCHECK_INSTANCE_ID": name},
        needs=needs,
        ready=http_ready(f"{_url(port)}/api/health"),
        port=port,
        start_timeout_s=READY_S,
        stop_grace_s=SUPERVISOR_KILL_S,
        restart=True,
    )
