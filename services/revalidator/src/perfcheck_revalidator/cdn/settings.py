"""Settings of the CDNs in front of the page cache, and the CDNs that they make."""

import random
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from asgi_isr.backoff import Jitter
from asgi_isr.ports import Clock
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import ServiceSettings

from perfcheck_revalidator.cdn.cloudfront import CloudFront
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi
from perfcheck_revalidator.cdn.http_purge import HttpPurge
from perfcheck_revalidator.cdn.port import Cdn
from perfcheck_revalidator.cdn.price import Budget, Counter
from perfcheck_revalidator.cdn.purge_requests import Style

__all__ = ["CdnSettings", "cdns_from", "unhealthy_reason_of"]

_URLS_MAX = 32


class CdnSettings(ServiceSettings, frozen=True, kw_only=True):
    """Which CDNs are purged; none of them by default, both where both are set.

    Attributes:
        cloudfront_distribution_id: distribution whose objects are invalidated.
        cloudfront_endpoint_url: address of an emulator, instead of AWS.
        cdn_window_s: CloudFront purges within this time become one invalidation.
        cdn_usd_per_month_max: purges beyond this price in a calendar month (UTC) are refused; 0 is
            what is free.
        purge_urls: addresses of nodes that take PURGE and BAN, separated by commas.
        purge_style: `xkey` purges tags as keys (vmod xkey, Surrogate-Key), `ban` by expressions.
        purge_token: sent to the nodes as `Authorization: Bearer`.

    """

    cloudfront_distribution_id: str = ""
    cloudfront_endpoint_url: str = ""
    cdn_window_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.25
    cdn_usd_per_month_max: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 50.0
    purge_urls: str = ""
    purge_style: Style = "xkey"
    purge_token: Secret | None = None

    def __post_init__(self) -> None:
        """Refuse addresses that cannot be called."""
        super().__post_init__()
        if self.cloudfront_endpoint_url:
            _check("PERFCHECK_CLOUDFRONT_ENDPOINT_URL", self.cloudfront_endpoint_url)
        urls = self.purge_addresses()
        if len(urls) > _URLS_MAX:
            raise ValueError(f"PERFCHECK_PURGE_URLS: {len(urls)} addresses, at most {_URLS_MAX}")
        for url in urls:
            _check("PERFCHECK_PURGE_URLS", url)
        token = self.purge_token.reveal() if self.purge_token is not None else ""
        if any(not "!" <= char <= "~" for char in token):
            raise ValueError("PERFCHECK_PURGE_TOKEN: has characters other than visible ASCII")

    def purge_addresses(self) -> tuple[str, ...]:
        """Return the addresses in `purge_urls`, each once, without a slash at the end."""
        parts = (part.strip().rstrip("/") for part in self.purge_urls.split(","))
        return tuple(dict.fromkeys(part for part in parts if part))


def cdns_from(
    settings: CdnSettings, counter: Counter, clock: Clock, *, jitter: Jitter = random.random
) -> list[Cdn]:
    """Return the CDNs that `settings` name; nothing is opened before the first purge.

    `counter` is shared by all instances. Who calls this closes the CDNs, and the counter after.
    """
    cdns: list[Cdn] = []
    if settings.cloudfront_distribution_id:
        api = CloudFrontApi(
            settings.cloudfront_distribution_id,
            endpoint_url=settings.cloudfront_endpoint_url or None,
        )
        budget = Budget(
            counter,
            clock,
            usd_per_month_max=settings.cdn_usd_per_month_max,
            distribution_id=settings.cloudfront_distribution_id,
        )
        cdns.append(CloudFront(api, budget, clock, window_s=settings.cdn_window_s, jitter=jitter))
    if urls := settings.purge_addresses():
        token = settings.purge_token
        cdns.append(
            HttpPurge(
                urls,
                clock,
                style=settings.purge_style,
                token=None if token is None else token.reveal(),
            )
        )
    return cdns


def unhealthy_reason_of(cdns: Sequence[Cdn]) -> str | None:
    """Return what is wrong with the CDNs now, for a health check; None when all is well."""
    reasons = ((cdn.name, getattr(cdn, "unhealthy_reason", None)) for cdn in cdns)
    return "; ".join(f"{name}: {reason}" for name, reason in reasons if reason) or None


def _check(variable: str, url: str) -> None:
    """Raise ValueError if `url` is no address of a server; a password in it is not shown."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # its port is no number, or its host no address
        raise ValueError(f"{variable}: one address has no valid host or port") from None
    if not valid:
        raise ValueError(f"{variable}: expected addresses such as http://10.0.0.5:6081")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"{variable}: an address has a user, query or fragment; secrets go into"
            " PERFCHECK_PURGE_TOKEN"
        )
