"""Throw-away servers for tests: real, empty, on free ports, gone afterwards."""

import asyncio
import concurrent.futures
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from perfcheck_embedded.accounts import new_shared_subdirectory
from perfcheck_embedded.backends.binaries import find_binaries
from perfcheck_embedded.backends.nats import nats
from perfcheck_embedded.backends.nats_accounts import TEST_USER
from perfcheck_embedded.backends.postgres import postgres
from perfcheck_embedded.backends.server import Server, TlsFiles
from perfcheck_embedded.backends.valkey import valkey
from perfcheck_embedded.environment import environment
from perfcheck_embedded.errors import EmbeddedError
from perfcheck_embedded.ports import free_ports
from perfcheck_embedded.processes.supervised import supervised
from perfcheck_embedded.processes.supervisor import Supervisor
from perfcheck_embedded.state.directory import StateDir

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0
_RUN_PREFIX = "run-"
_LEFTOVER_AGE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Running servers. Their supervisor has a thread and an event loop of its own.

    So one set can serve a whole test session, whichever loop each test runs in. Names are
    `postgres`, `valkey` and `nats`; the URL of one that was not asked for is "". `nats_url` is that
    of a user who may do everything in the log's account; `nats_urls` has those of the product's
    users too, by name.
    """

    database_url: str
    valkey_url: str
    nats_url: str
    nats_urls: Mapping[str, str]
    directory: Path
    _supervisor: Supervisor
    _loop: asyncio.AbstractEventLoop

    def pids(self) -> dict[str, int]:
        """Return the process ids of what runs, by name."""
        return self._supervisor.pids()

    async def kill(self, name: str) -> None:
        """Kill a server with SIGKILL, as a crash would; return when it and its workers are gone."""
        await self._there(self._supervisor.kill_one(name))

    async def stop(self, name: str) -> None:
        """Stop a server in its own way; return when it is gone."""
        await self._there(self._supervisor.stop_one(name))

    async def restart(self, name: str) -> None:
        """Start a server again on the same port and data (stop it first if it runs)."""
        await self._there(self._supervisor.restart_one(name))

    async def pause(self, name: str) -> None:
        """Freeze a server (SIGSTOP): its connections stay open and nothing answers."""
        await self._there(self._signal(name, signal.SIGSTOP))

    async def resume(self, name: str) -> None:
        """Let a frozen server go on (SIGCONT)."""
        await self._there(self._signal(name, signal.SIGCONT))

    async def _signal(self, name: str, number: signal.Signals) -> None:
        self._supervisor.signal_one(name, number)

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class servers:  # noqa: N801 - used as a verb: `with servers() as s`, `async with servers() as s`
    """Context manager, both kinds: starts throw-away servers in a new directory, then removes all.

    Without `durable`, PostgreSQL runs with `fsync=off`: a killed server loses nothing, a crash of
    the machine would. `choose_ports` returns as many ports as it is asked for, and is asked again
    when another program took one of them before the server did. When this process is killed the
    servers end and the directory goes too.

    Raises:
        EmbeddedError: on entering; a server did not start, with the last lines of its log.

    """

    def __init__(
        self,
        *,
        postgres: bool = True,
        valkey: bool = True,
        nats: bool = True,
        durable: bool = False,
        nats_tls: TlsFiles | None = None,
        choose_ports: Callable[[int], list[int]] = free_ports,
    ) -> None:
        self._choose_ports = choose_ports
        self._nats_tls = nats_tls
        self._wanted = {"postgres": postgres, "valkey": valkey, "nats": nats}
        self._durable = durable
        self._running: concurrent.futures.Future[Servers] = concurrent.futures.Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Servers:
        """Start the servers and return when all answer."""
        self._thread = threading.Thread(target=self._run, name="embedded-servers", daemon=True)
        self._thread.start()
        return self._running.result(timeout=_START_TIMEOUT_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers and remove their directory.

        Raises:
            ProcessFailedError: a server had died without being asked to by `kill` or `stop`.

        """
        if self._thread is None or self._loop is None or self._end is None:
            return
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise EmbeddedError(f"the servers did not stop in {_STOP_TIMEOUT_S:g} s")
        if self._failure is not None and error is None:
            raise self._failure

    async def __aenter__(self) -> Servers:
        """Start the servers and return when all answer."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers and remove their directory."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self) -> None:
        try:
            # Whatever the caller's loop: uvloop outside the main thread cannot watch children.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._supervise())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
            if self._running.done():
                self._failure = error
            else:
                self._running.set_exception(error)

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        directory = new_shared_subdirectory(_RUN_PREFIX)
        _remove_leftovers(directory)
        with StateDir(directory, throw_away=True) as state:
            parts: dict[str, Server] = {}

            def make() -> Supervisor:
                parts.update(self._parts(state))
                return Supervisor(state, [part.process for part in parts.values()])

            async with supervised(make) as supervisor:
                urls = {name: part.url for name, part in parts.items()}
                nats_urls = parts["nats"].urls if "nats" in parts else {}
                self._running.set_result(
                    Servers(
                        database_url=urls.get("postgres", ""),
                        valkey_url=urls.get("valkey", ""),
                        nats_url=nats_urls.get(TEST_USER, ""),
                        nats_urls=nats_urls,
                        directory=state.path,
                        _supervisor=supervisor,
                        _loop=self._loop,
                    )
                )
                await self._end.wait()
                supervisor.check()

    def _parts(self, state: StateDir) -> dict[str, Server]:
        binaries = find_binaries(environment())
        ports = dict(zip(self._wanted, self._choose_ports(len(self._wanted)), strict=True))
        parts: dict[str, Server] = {}
        if self._wanted["postgres"]:
            port = ports["postgres"]
            parts["postgres"] = postgres(state, binaries, port=port, durable=self._durable)
        if self._wanted["valkey"]:
            parts["valkey"] = valkey(state, binaries, port=ports["valkey"])
        if self._wanted["nats"]:
            parts["nats"] = nats(
                state,
                binaries,
                port=ports["nats"],
                durable=self._durable,
                test_user=True,
                tls=self._nats_tls,
            )
        return parts


def _remove_leftovers(mine: Path) -> None:
    """Remove old directories that nobody holds: even the watchdog was killed there."""
    now = mine.stat().st_mtime
    for path in mine.parent.glob(f"{_RUN_PREFIX}*"):
        with contextlib.suppress(EmbeddedError, OSError):
            if now - path.stat().st_mtime > _LEFTOVER_AGE_S:
                with StateDir(path, throw_away=True):  # refused while its supervisor lives
                    pass
