"""Settings of the revalidator, read from `PERFCHECK_*` variables by the chassis."""

from typing import Annotated, ClassVar

import msgspec
from perfcheck_chassis.secret import Secret

from perfcheck_revalidator.cdn.settings import CdnSettings

__all__ = ["Settings"]


class Settings(CdnSettings, frozen=True, kw_only=True):
    """What the revalidator needs beyond what every service needs.

    Attributes:
        nats_url: broker with the invalidation log; may hold a password.
        valkey_url: shared store, where the snapshot goes; may hold a password.
        snapshot_interval_s: pause between two snapshots; an instance that starts replays at most
            so much of the log.
        lease_s: that of the instances; so long, and a margin, is waited for one that is silent.
        bff_url: address of the BFFs, without a path; without it no popular pages are rendered
            again. Needs a token key.
        warm_concurrency: requests to the BFFs at once.
        warm_budget_s: time for the popular pages of what was invalidated; the rest stays cold.

    """

    service: ClassVar[str] = "revalidator"

    nats_url: Secret
    valkey_url: Secret
    snapshot_interval_s: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 5.0
    lease_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 15.0
    bff_url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/]+/?)?$")] = ""
    warm_concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    warm_budget_s: Annotated[float, msgspec.Meta(gt=0, le=20)] = 5.0
