"""The life of an event in the whole system: warm pages, own writes, dead letters, metrics."""

import asyncio
from typing import Any

import pytest
from asgi_isr.logs.nats import close, connect

DAY = "2026-10-30"
PAGE = "/currencies/SEK"
SUBJECT = "cache.invalidations.v1.shop"


def publish(stack: Any, body: bytes) -> int:
    """Publish a body to the log as the publisher `shop`; return its sequence."""

    async def send() -> int:
        client = await connect(stack.run["nats_urls"]["shop"], name="e2e")
        try:
            ack = await client.jetstream().publish(SUBJECT, body)
            return int(ack.seq)
        finally:
            await close(client)

    return asyncio.run(send())


def receipt(stack: Any, receipt_id: str) -> dict[str, Any]:
    """Return a receipt, empty while there is none."""
    reply = stack.http.get(
        f"{stack.api}/api/v1/invalidations/{receipt_id}",
        headers=stack.bearer("invalidations:read"),
    )
    found: dict[str, Any] = reply.json() if reply.status_code == 200 else {}
    return found


def test_popular_page_is_rendered_again_without_being_asked_for(
    untouched: Any, eventually: Any
) -> None:
    """The pages that an event made old, and that clients had asked for, are warm again soon."""
    for _ in range(5):
        untouched.page(PAGE)
    body = {"tags": ["currency:sek"]}
    sent = untouched.http.post(
        f"{untouched.api}/api/v1/invalidations?wait=applied",
        json=body,
        headers=untouched.bearer("invalidations:write"),
    )
    event_id = sent.raise_for_status().json()["id"]
    eventually(lambda: receipt(untouched, event_id).get("warmed", {}).get("pages", 0) >= 1)
    assert receipt(untouched, event_id)["warmed"]["failed"] == 0
    assert "hit" in untouched.page(PAGE).headers["cache-status"]


@pytest.mark.parametrize("sent_as", ["field", "cookie"])
def test_writer_sees_its_own_write_at_every_instance(untouched: Any, sent_as: str) -> None:
    """Whoever sends the token of a write is served no page older than it, at once, everywhere."""
    old = untouched.rates(DAY)["SEK"]
    for number in range(10):
        new = round(old + 0.1 + number / 100, 4)
        for bff in (0, 1):
            untouched.page(PAGE, bff)
        token = untouched.write(DAY, SEK=new).headers["consistency-token"]
        fields = (
            {"consistency-token": token}
            if sent_as == "field"
            else {"cookie": f"theme=dark; consistency-token={token}"}
        )
        for bff in (0, 1):
            reply = untouched.http.get(untouched.bffs[bff] + PAGE, headers=fields)
            assert f"{new:.4f}".rstrip("0") in reply.text
            assert "no-store" in reply.headers.get("cdn-cache-control", "no-store")
            assert "public" not in reply.headers["cache-control"]
    untouched.write(DAY, SEK=old)


def test_what_cannot_be_read_is_a_dead_letter_with_the_reason(
    untouched: Any, eventually: Any
) -> None:
    """Rubbish on the log stops nobody: it is kept with its reason, and its receipt says so."""
    seq = publish(untouched, b"product:42")
    eventually(lambda: receipt(untouched, f"seq-{seq}").get("stage") == "dead")
    assert "malformed" in receipt(untouched, f"seq-{seq}")["dead"]
    listed = untouched.command("dead-letters", "list")
    assert listed.returncode == 0, listed.stderr
    assert "product:42" in listed.stdout or str(seq) in listed.stdout
    for bff in (0, 1):
        assert untouched.page(PAGE, bff).status_code == 200


def test_unknown_mode_with_readable_tags_counts_as_hard(untouched: Any, eventually: Any) -> None:
    """An event of a publisher that is newer than we are still ends the pages that it names."""
    untouched.page(PAGE)
    before = untouched.page(PAGE).headers["cache-status"]
    seq = publish(untouched, b'{"tags":["currency:sek"],"mode":"gentle","level":3}')
    eventually(lambda: receipt(untouched, f"seq-{seq}").get("stage") == "done")
    assert receipt(untouched, f"seq-{seq}").get("mode", "hard") == "hard"
    after = untouched.page(PAGE).headers["cache-status"]
    assert before.rpartition("fence=")[2] != after.rpartition("fence=")[2]


def test_lags_are_exported(untouched: Any) -> None:
    """The api and the revalidator show in Prometheus text how far behind each step is."""
    api = untouched.http.get(f"{untouched.api}/metrics").raise_for_status().text
    assert "perfcheck_outbox_publish_lag_seconds_count" in api
    revalidator = untouched.http.get(f"{untouched.run['urls']['revalidator']}/metrics")
    assert "_seconds_bucket" in revalidator.raise_for_status().text
