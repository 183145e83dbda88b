"""Settings of the service, from the environment (`PERFCHECK_API_URL` and so on)."""

from typing import Annotated, ClassVar

from msgspec import Meta
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import ServiceSettings

__all__ = ["Settings"]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What the BFF needs beyond what every service does.

    Attributes:
        api_url: address of the api service, without a path.
        nats_url: broker with the invalidation log; may hold a password.
        valkey_url: shared store of pages; may hold a password.
        cdn: whether a CDN in front may keep pages; the revalidator must be set to purge it.
        lease_s: how long pages count as fresh after the last mark that came through the log.

    """

    service: ClassVar[str] = "frontend-bff"

    api_url: Annotated[str, Meta(pattern=r"^https?://[^/]+/?$")]
    nats_url: Secret
    valkey_url: Secret
    cdn: bool = False
    lease_s: Annotated[float, Meta(gt=0, le=300)] = 15.0
