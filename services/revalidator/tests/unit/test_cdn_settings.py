import pytest
from asgi_isr.ports import SystemClock
from perfcheck_chassis.settings import SettingsError, load
from perfcheck_revalidator.cdn.settings import CdnSettings, cdns_from, unhealthy_reason_of


class NoCount:
    """A counter that nobody may need."""

    async def add(self, key: str, number: int, *, ttl_s: int) -> int:
        """Fail: nothing is counted before the first purge."""
        raise AssertionError(f"{key} {number} {ttl_s}")

    async def close(self) -> None:
        """Do nothing."""


async def names(**variables: str) -> list[str]:
    """Return the names of the CDNs that these settings make."""
    own = {f"PERFCHECK_{name.upper()}": value for name, value in variables.items()}
    cdns = cdns_from(load(CdnSettings, own), NoCount(), SystemClock())
    assert unhealthy_reason_of(cdns) is None
    for cdn in cdns:
        await cdn.close()
    return [cdn.name for cdn in cdns]


async def test_none_by_default() -> None:
    """Without settings no CDN is purged."""
    assert await names() == []


async def test_each_and_both() -> None:
    """A distribution or addresses of nodes make a CDN each; nothing is opened for it."""
    assert await names(cloudfront_distribution_id="D1") == ["cloudfront"]
    assert await names(purge_urls="http://127.0.0.1:6081") == ["http-purge"]
    both = {"cloudfront_distribution_id": "D1", "purge_urls": "http://127.0.0.1:6081"}
    assert await names(**both) == ["cloudfront", "http-purge"]


def test_addresses() -> None:
    """Addresses are separated by commas; blanks, slashes at the end and repetitions go."""
    text = " http://10.0.0.5:6081/, https://edge.example ,,http://10.0.0.5:6081,http://[::1]:80"
    settings = load(CdnSettings, {"PERFCHECK_PURGE_URLS": text})
    assert settings.purge_addresses() == (
        "http://10.0.0.5:6081",
        "https://edge.example",
        "http://[::1]:80",
    )


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PURGE_URLS", "10.0.0.5:6081", "expected addresses such as"),
        ("PURGE_URLS", "ftp://edge", "expected addresses such as"),
        ("PURGE_URLS", "http://", "expected addresses such as"),
        ("PURGE_URLS", "http://edge:port", "no valid host or port"),
        ("PURGE_URLS", "http://u:hunter2@edge", "PERFCHECK_PURGE_TOKEN"),
        ("PURGE_URLS", "http://edge?x", "has a user, query or fragment"),
        ("PURGE_URLS", ",".join(f"http://e{n}" for n in range(33)), "at most 32"),
        ("PURGE_TOKEN", "hunter2\n", "visible ASCII"),
        ("PURGE_STYLE", "fastly", "not one of the allowed values"),
        ("CDN_WINDOW_S", "-1", "CDN_WINDOW_S"),
        ("CDN_USD_PER_MONTH_MAX", "much", "a number"),
        ("CLOUDFRONT_ENDPOINT_URL", "emulator", "expected addresses such as"),
    ],
)
def test_refused(variable: str, value: str, reason: str) -> None:
    """What cannot work is refused at the start, by name, and without showing a password."""
    with pytest.raises(SettingsError) as caught:
        load(CdnSettings, {f"PERFCHECK_{variable}": value})
    assert f"PERFCHECK_{variable}" in str(caught.value)
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_token_is_secret() -> None:
    """The token does not show where settings are printed."""
    assert "hunter2" not in repr(load(CdnSettings, {"PERFCHECK_PURGE_TOKEN": "hunter2"}))
