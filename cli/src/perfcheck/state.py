"""What runs on a state directory: the `run.json` that `perfcheck up` writes."""

from pathlib import Path

import msgspec
from perfcheck_embedded import StateDir, StateError

from perfcheck.exits import TargetError

DEFAULT_DIRECTORY = ".perfcheck"


class Urls(msgspec.Struct, frozen=True, kw_only=True):
    """Where the services listen; one address for each BFF instance."""

    api: str
    bff: list[str]
    revalidator: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A running stack: its supervisor, its addresses, its secrets, the process ids by name.

    `nats_url` is that of this command's own user, `nats_urls` has those of all users.
    """

    pid: int
    started: str
    urls: Urls
    nats_url: str
    valkey_url: str
    database_url: str
    processes: dict[str, int]
    nats_urls: dict[str, str] = {}
    token_key: str = ""
    webhook_secret: str = ""

    def bff_pids(self) -> list[int]:
        """Return the process ids of the BFF instances, in the order of their addresses."""
        names = [name for name in self.processes if name.startswith("bff-")]
        return [self.processes[name] for name in sorted(names, key=lambda name: int(name[4:]))]


def running(directory: Path) -> Run | None:
    """Return what runs on the directory, None when nothing does (or only remains of a dead one).

    Raises:
        TargetError: when `run.json` cannot be read.

    """
    try:
        facts = StateDir(directory).read_run()
        return None if facts is None else msgspec.convert(facts, Run)
    except (StateError, msgspec.ValidationError) as error:
        raise TargetError(f"{directory / 'run.json'} cannot be used: {error}") from None


def required(directory: Path) -> Run:
    """Return what runs on the directory; raises `TargetError` when nothing does."""
    run = running(directory)
    if run is None:
        raise TargetError(f"nothing runs on {directory}: start it with `perfcheck up`")
    return run
