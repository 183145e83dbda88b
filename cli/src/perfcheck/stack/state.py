"""What runs on a state directory: the `run.json` that `perfcheck up` writes."""

from pathlib import Path
from typing import Literal

import msgspec
from perfcheck_embedded import StateDir, StateError

from perfcheck.exits import TargetError
from perfcheck.stack.tokens import Tokens

DEFAULT_DIRECTORY = ".perfcheck"


class Urls(msgspec.Struct, frozen=True, kw_only=True):
    """Where the services listen; one address for each BFF instance."""

    api: str
    bff: list[str]
    revalidator: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A running stack: its supervisor, its addresses, its secrets, the process ids by name.

    `token_key` signs service tokens, `webhook_secret` webhooks; `nats_urls` are by user and hold
    passwords. So `run.json` is readable by its owner alone.
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
        raise TargetError(f"{directory / 'run.json'} cannot be read: {error}") from None


def required(directory: Path) -> Run:
    """Return what runs on the directory; raises `TargetError` when nothing does."""
    run = running(directory)
    if run is None:
        raise TargetError(f"nothing is running on {directory}: start it with `perfcheck up`")
    return run


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service to speak to: its address, and the tokens for it."""

    url: str
    tokens: Tokens


def service(
    directory: Path, name: Literal["api", "revalidator"], *, url: str | None, token: str | None
) -> Service:
    """Return the service at `url`, else the running stack's.

    The stack's key signs for the stack alone: whoever names another address also gives a token.

    Raises:
        TargetError: no address is given and nothing runs on the directory.
        WrongUsageError: the token cannot be one.

    """
    if url is None:
        run = required(directory)
        return Service(url=getattr(run.urls, name), tokens=Tokens(given=token, key=run.token_key))
    url = url.rstrip("/")
    own = None if token else running(directory)
    ours = own is not None and url == getattr(own.urls, name).rstrip("/")
    key = own.token_key if own is not None and ours else ""
    return Service(url=url, tokens=Tokens(given=token, key=key))
