"""Settings of the api service, read from `PERFCHECK_*` variables by the chassis."""

from typing import Annotated, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import ServiceSettings, check_ca_file
from perfcheck_contracts.limits import REQUEST_BODY_BYTES_MAX

from perfcheck_api.invalidations.signature import WebhookSecrets


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What the api service needs beyond what every service needs.

    Attributes:
        database_url: libpq URL of PostgreSQL; holds the password. With `sslmode=verify-full` the
            server must show a certificate of a CA in `tls_ca_file`, else of one of the system's.
        nats_url: where the relay publishes, with user and password; writes go on while it is out
            of reach.
        pool_size_min: connections kept open.
        pool_size_max: most connections for requests; the relay holds two more, and a health
            probe takes one of its own, so that a busy pool does not look like a lost database.
        pool_timeout_s: how long a request waits for a connection before it is answered 503.
        statement_timeout_s: PostgreSQL ends any statement after this time.
        body_bytes_max: larger request bodies are refused with 413; those of invalidations may
            have 64 KiB whatever this says.
        webhook_secret: verifies webhooks, `whsec_` and base64 of 24 to 64 bytes; without it every
            webhook is refused.
        webhook_secret_previous: verifies too; the secret before, while it is changed.
        invalidations_per_s: how many invalidations each token subject, and the webhook's sender,
            may publish through this instance in the long run; twice as many at once.

    """

    service: ClassVar[str] = "api"

    database_url: Secret
    nats_url: Secret
    pool_size_min: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 2
    pool_size_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    pool_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    statement_timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    body_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=16 * 1024 * 1024)] = REQUEST_BODY_BYTES_MAX
    webhook_secret: Secret | None = None
    webhook_secret_previous: Secret | None = None
    invalidations_per_s: Annotated[float, msgspec.Meta(ge=0.1, le=100_000)] = 100.0

    def __post_init__(self) -> None:
        """Name the database's CAs; refuse bad secrets and a pool that cannot be (ValueError)."""
        super().__post_init__()
        trusting = with_root_certificate(self.database_url, self.tls_ca_file)
        msgspec.structs.force_setattr(self, "database_url", trusting)
        self.webhook_secrets()
        if self.pool_size_min > self.pool_size_max:
            raise ValueError(
                f"PERFCHECK_POOL_SIZE_MIN: {self.pool_size_min} is above"
                f" PERFCHECK_POOL_SIZE_MAX, {self.pool_size_max}"
            )

    def webhook_secrets(self) -> WebhookSecrets:
        """Return the secrets of webhooks; ValueError says which is malformed."""
        return WebhookSecrets(self.webhook_secret, self.webhook_secret_previous)


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the one-shot commands `migrate` and `ingest` need."""

    database_url: Secret
    log_level: str = "INFO"
    tls_ca_file: str = ""

    def __post_init__(self) -> None:
        """Name the CAs of the database."""
        check_ca_file(self.tls_ca_file)
        trusting = with_root_certificate(self.database_url, self.tls_ca_file)
        msgspec.structs.force_setattr(self, "database_url", trusting)


class LogSettings(DatabaseSettings, frozen=True, kw_only=True):
    """What the one-shot command `take-log` needs."""

    nats_url: Secret


def with_root_certificate(url: Secret, ca_file: str) -> Secret:
    """Return `url` with the CAs to trust where it verifies the server and names none itself.

    libpq would look for them in the home directory; `system` are those of the machine
    (PostgreSQL's documentation, "SSL Client Usage").
    """
    query = urlsplit(url.reveal()).query
    options = parse_qs(query)
    if options.get("sslmode", [""])[-1] != "verify-full" or "sslrootcert" in options:
        return url
    root = f"sslrootcert={quote(ca_file or 'system')}"  # libpq takes no + for a space
    return Secret(f"{url.reveal()}&{root}")
