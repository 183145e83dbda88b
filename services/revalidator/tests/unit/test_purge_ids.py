from datetime import UTC, datetime

from asgi_isr.testing import FakeClock
from perfcheck_contracts import CdnPurge
from perfcheck_revalidator.cdn.batches import Batch, Batches
from perfcheck_revalidator.work.original import Event, Original
from perfcheck_revalidator.work.purging import purge_event

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)


async def _event(seq: int, source: str, tag: str) -> Event:
    subject = f"cache.invalidations.v1.{source}"
    headers = {"ce-id": "one", "ce-source": "api", "Nats-Msg-Id": "one"}
    body = b'{"tags":["%s"]}' % tag.encode()
    return await Event.read(Original(seq, subject, headers, body, NOON))


async def test_an_id_that_another_took_first_keeps_no_purge_back() -> None:
    """Events that bear the same id are each purged; one that comes twice is purged once."""
    asked: list[str] = []

    async def submit(batch: Batch) -> CdnPurge:
        batch.sent = True
        asked.extend(tag for event in batch.events.values() for tag in event.tags)
        return CdnPurge(provider="test", status="completed")

    batches = Batches(submit, FakeClock(), window_s=0)
    forged, ours = await _event(7, "shop", "other"), await _event(8, "api", "currency:usd")
    await batches.purge([purge_event(forged)], again=False)
    await batches.purge([purge_event(ours)], again=False)
    await batches.purge([purge_event(ours), purge_event(forged)], again=False)
    assert asked == ["other", "currency:usd"]
