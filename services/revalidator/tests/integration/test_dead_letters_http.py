"""Dead letters over HTTP: pages of the list, bounds, tokens, a retry that fails otherwise."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from asgi_isr import Invalidation
from asgi_isr.logs.nats import NatsLog
from litestar.testing import AsyncTestClient
from nats.aio.client import Client
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import CdnPurge
from perfcheck_revalidator.app import create_app
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.settings import Settings

pytestmark = pytest.mark.integration

ADDRESS = "/api/v1/dead-letters"
SUBJECT = "cache.invalidations.v1.shop"


class Refusing:
    """A CDN that refuses everything for good, each time for another reason."""

    name = "refusing"

    def __init__(self) -> None:
        self.calls = 0

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Refuse."""
        self.calls += 1
        raise CdnError(f"refusal {self.calls} of {len(events)}, {again=}", permanent=True)

    async def completed(self, purge: CdnPurge) -> CdnPurge | None:
        """Say that it is done; nothing ever is."""
        return purge

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    """Give settings with a token key."""
    return msgspec.structs.replace(settings, token_key=Secret("k" * 32))


@pytest.fixture
async def http(keyed: Settings, publisher: NatsLog) -> AsyncIterator[AsyncTestClient[Any]]:
    """Give a running service with a CDN that refuses; the log exists."""
    assert await publisher.bounds()
    async with AsyncTestClient(create_app(keyed, cdns=[Refusing()])) as opened:
        yield opened


def bearer(settings: Settings, audience: str, scope: str) -> dict[str, str]:
    """Return the header of who may do `scope` at `audience`."""
    token = settings.token_keys().issue(subject="test", audience=audience, scopes=[scope])
    return {"Authorization": f"Bearer {token}"}


async def test_the_list_comes_in_pages(
    http: AsyncTestClient[Any], keyed: Settings, client: Client, receiver: Any
) -> None:
    """Oldest first, with a cursor while there may be more; a limit out of bounds is refused."""
    for number in range(3):
        headers = {"ce-id": f"id-{number}"}
        await client.jetstream().publish(SUBJECT, b"no JSON", headers=headers)
        await receiver.stage(f"id-{number}", "dead")
    own = bearer(keyed, "revalidator", "dead-letters")
    first = (await http.get(f"{ADDRESS}?limit=2", headers=own)).json()
    assert [letter["id"] for letter in first["dead_letters"]] == ["id-0", "id-1"]
    rest = (await http.get(f"{ADDRESS}?limit=2&after={first['next']}", headers=own)).json()
    assert [letter["id"] for letter in rest["dead_letters"]] == ["id-2"]
    assert rest["next"] is None
    for query in ("limit=0", "limit=101", "after=-1", "after=x"):
        assert (await http.get(f"{ADDRESS}?{query}", headers=own)).status_code == 400


async def test_a_retry_that_fails_otherwise_keeps_the_letter_with_the_new_reason(
    http: AsyncTestClient[Any], keyed: Settings, publisher: NatsLog, receiver: Any
) -> None:
    """The original stays, once, under a new number; its receipt stays dead."""
    seq = await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
    await receiver.stage("id-1", "dead")
    own = bearer(keyed, "revalidator", "dead-letters")
    [letter] = (await http.get(ADDRESS, headers=own)).json()["dead_letters"]
    report = (await http.post(f"{ADDRESS}/{letter['number']}/retry", headers=own)).json()
    assert report["done"] is False
    assert report["reason"] != letter["reason"]
    [kept] = (await http.get(ADDRESS, headers=own)).json()["dead_letters"]
    assert (kept["id"], kept["seq"], kept["body"]) == ("id-1", seq, letter["body"])
    assert kept["reason"] == report["reason"]
    assert kept["number"] > letter["number"]
    assert receiver.receipts["id-1"].stage == "dead"


async def test_other_tokens_open_nothing(http: AsyncTestClient[Any], keyed: Settings) -> None:
    """Neither another service's token nor one without the scope lists or retries."""
    for audience, scope, status in (
        ("api", "dead-letters", 401),
        ("revalidator", "cache:warm", 403),
    ):
        other = bearer(keyed, audience, scope)
        assert (await http.get(ADDRESS, headers=other)).status_code == status
        assert (await http.post(f"{ADDRESS}/1/retry", headers=other)).status_code == status
