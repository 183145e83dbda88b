"""For every member: a unit test reaches no server, and tests that share one run in one process."""

import socket
from typing import NoReturn
from zlib import crc32

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling


def _refuse(*_: object) -> NoReturn:
    raise AssertionError("a unit test opened a connection; put it into tests/integration")


@pytest.fixture(autouse=True)
def _no_connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to connect below a folder tests/unit."""
    if "unit" in request.path.parts:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse)


# -- side by side ---------------------------------------------------------------------------------
# `make test` runs several processes. A file stays in one of them, for its tests share servers. The
# files that take long begin first, so that none of them is left alone at the end.

ONE_SYSTEM = "e2e"  # the files that ask the one running system, beside those with one of their own
OF_THEIR_OWN = {"e2e/test_replay_faults.py", "e2e/test_shutdown.py"}
# Folders whose files share servers that take long to start, and by how many processes.
ONE_START = {
    "services/api/tests/integration/": 2,
    "services/frontend-bff/tests/integration/": 1,
    "services/revalidator/tests/integration/": 1,
}
FIRST = ("e2e/test_replay_faults.py", "e2e/", "tests/integration/")


def _turn(item: pytest.Item) -> int:
    """Return the place of an item's kind in `FIRST`; what is quick comes last."""
    return next((turn for turn, part in enumerate(FIRST) if part in item.nodeid), len(FIRST))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by how long they take; within a file the order stays."""
    items.sort(key=_turn)


class BySystem(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives a file to one process, and so all files that share the system or servers to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        for folder, processes in ONE_START.items():
            if file.startswith(folder):
                return f"{folder}{crc32(file.encode()) % processes}"
        shared = file.startswith("e2e/") and file not in OF_THEIR_OWN
        return ONE_SYSTEM if shared else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> BySystem:
    """Say how xdist hands out the tests; it keeps our order."""
    config.option.loadscopereorder = False
    return BySystem(config, log)
