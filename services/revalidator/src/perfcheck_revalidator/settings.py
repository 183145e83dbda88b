"""Settings of the revalidator, read from `PERFCHECK_*` variables by the chassis."""

from typing import Annotated, ClassVar

import msgspec
from perfcheck_chassis import Secret, ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What the revalidator needs beyond what every service needs.

    Attributes:
        nats_url: broker with the invalidation log; may hold a password.
        valkey_url: shared store, where the snapshot goes; may hold a password.
        snapshot_interval_s: pause between two snapshots; an instance that starts replays at most
            so much of the log.

    """

    service: ClassVar[str] = "revalidator"

    nats_url: Secret
    valkey_url: Secret
    snapshot_interval_s: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 5.0
