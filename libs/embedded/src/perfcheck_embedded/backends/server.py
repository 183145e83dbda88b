"""What the three servers have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perfcheck_embedded.processes.process import Process

# Nothing of the caller's environment reaches a server: variables such as PGOPTIONS or PGDATA, or a
# locale, would change how it runs.
SERVER_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server to supervise, and the address its clients use, with user and password.

    `urls` has an address for each user where there are several.
    """

    process: Process
    url: str
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """A server's certificate, with what leads to its CA, and its key: PEM files."""

    certificate: Path
    key: Path
