"""What can go wrong in the service's own words; `rates/http.py` maps it to problem details."""

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


class NotFoundError(ApiError):
    """What was asked for does not exist (yet). `tags` name what would change that."""

    def __init__(self, kind: str, fault: Fault, *, tags: tuple[str, ...]) -> None:
        super().__init__(f"{fault.field}: {fault.detail}")
        self.kind = kind
        self.fault = fault
        self.tags = tags


class BadRequestError(ApiError):
    """The request makes no sense by itself: it cannot be read, whatever the data."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in faults))
        self.faults = faults


class RejectedError(ApiError):
    """The request reads well, but must not be carried out; nothing was written."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in faults))
        self.faults = faults


class MigrationError(ApiError):
    """The database's migrations and this release's do not fit; says how to mend it."""


class SourceError(ApiError):
    """The file to ingest is not what it should be; nothing was written."""


class ConflictError(ApiError):
    """The same request is under way; nothing was written by this one."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.field}: {fault.detail}")
        self.fault = fault


class BrokerError(ApiError):
    """The broker is out of reach, did not answer in time, or refused; says which."""
