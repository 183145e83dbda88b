"""What the three servers have in common."""

from dataclasses import dataclass

from perfcheck_embedded.process import Process

# Nothing of the caller's environment reaches a server: variables such as PGOPTIONS or PGDATA, or a
# locale, would change how it runs.
SERVER_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server to supervise, and the address its clients use (with the password, if it has one)."""

    process: Process
    url: str
