"""What can go wrong in the service's own words; `problems.py` maps it to problem details."""

from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong with one field; `field` is its path in the request (`rates.USD`, `from`)."""

    field: str
    detail: str


class ApiError(Exception):
    """Base of the errors of this service."""


class DatabaseUnavailableError(ApiError):
    """PostgreSQL cannot be used right now; `reason` is safe to show."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RequestError(ApiError):
    """The request is not carried out and writes nothing; each of `faults` names a field."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in faults))
        self.faults = faults


class NotFoundError(RequestError):
    """What was asked for does not exist (yet). `tags` name what would change that."""

    def __init__(self, kind: str, fault: Fault, *, tags: tuple[str, ...]) -> None:
        super().__init__(fault)
        self.kind = kind
        self.tags = tags


class BadRequestError(RequestError):
    """The request makes no sense by itself: it cannot be read, whatever the data."""


class RejectedError(RequestError):
    """The request reads well, but must not be carried out."""


class ConflictError(RequestError):
    """The same request is in progress."""


class MigrationError(ApiError):
    """The database's migrations and this release's do not fit; says how to fix it."""


class SourceError(ApiError):
    """The file to ingest is not what it should be; nothing was written."""


class BrokerError(ApiError):
    """The broker is out of reach, did not answer in time, or refused; says which."""


class DatabaseChangedError(ApiError):
    """Under a session the database became another, or lost rows; the next session compares it."""


class SupersededError(ApiError):
    """Another database has the log: this one must not be served from, nor published to the log."""
