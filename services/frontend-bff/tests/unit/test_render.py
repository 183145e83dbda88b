"""Tags of a page come from what it read, and so does the permission to keep it."""

import itertools

import pytest
from asgi_isr.keys import PAGE_TAGS_MAX, TAG_CHARS_MAX
from perfcheck_bff.reading.render import Render
from perfcheck_bff.site.headers import CONTENT_SECURITY_POLICY, cached, never_stored, server_timing
from perfcheck_chassis.http_client import Reply


def reply(tags: str | None, *, duration_s: float = 0.0, app_s: float | None = None) -> Reply:
    """Make a reply of the api with these tags."""
    headers = {} if tags is None else {"cache-tag": tags}
    return Reply(status=200, headers=headers, body=b"", duration_s=duration_s, app_s=app_s)


def render(*tags: str | None) -> Render:
    """Make a page that has read one reply for each argument."""
    made = Render(lambda: 0.0)
    for value in tags:
        made.collect("/x", reply(value))
    return made


def test_tags_of_all_reads_are_collected_once() -> None:
    """A page made of several replies depends on what any of them was made of."""
    assert render("currency:usd, currency:jpy", "currency:usd,latest").tags == (
        "currency:usd",
        "currency:jpy",
        "latest",
    )


def test_origins_of_all_reads_are_collected_once() -> None:
    """The page names what any of its replies was made from; one that names none says nothing."""
    made = render("latest")
    assert "Cache-Origin" not in cached("isr", made, cdn=False)
    for origin in ("api=a", "api=b", "api=a"):
        headers = {"cache-tag": "latest", "cache-origin": origin}
        made.collect("/x", Reply(200, headers, b"", 0.0, None))
    assert cached("isr", made, cdn=False)["Cache-Origin"] == "api=a, api=b"


def test_a_page_with_tags_may_be_kept() -> None:
    """A page whose reads all named their tags may be stored."""
    assert render("latest").refusal is None


@pytest.mark.parametrize("tags", [None, "", " , "])
def test_a_reply_without_tags_makes_a_page_unfit(tags: str | None) -> None:
    """Nobody could invalidate what nobody named."""
    refusal = render("latest", tags).refusal

    assert refusal is not None
    assert "/x" in refusal


def test_a_page_that_read_nothing_is_not_kept() -> None:
    """No event would ever reach it."""
    assert render().refusal is not None


def test_a_failed_read_makes_a_page_unfit() -> None:
    """What is shown is not all there is."""
    made = render("latest")
    made.fail("the api is down")

    assert made.refusal == "the api is down"


def test_the_number_of_tags_is_limited() -> None:
    """Fifty tags are allowed, one more is not."""
    fifty = ", ".join(f"tag:{number}" for number in range(PAGE_TAGS_MAX))

    assert render(fifty).refusal is None
    assert render(fifty, "one:more").refusal is not None


@pytest.mark.parametrize("tag", ["x" * (TAG_CHARS_MAX + 1), "två", "a b", "a\x7f"])
def test_a_tag_that_is_none_makes_a_page_unfit(tag: str) -> None:
    """Tags are visible ASCII, at most 256 characters; dropping one would lose invalidations."""
    made = render("latest", tag)

    assert made.refusal is not None
    assert made.tags == ("latest",)


def test_the_longest_tag_is_allowed() -> None:
    """256 characters are a tag."""
    assert render("x" * TAG_CHARS_MAX).refusal is None


def test_isr_pages_are_kept_under_their_tags() -> None:
    """The page cache may keep the page for a day, a browser asks each time."""
    fields = cached("isr", render("currency:usd", "currency:jpy"), cdn=False)

    assert fields["CDN-Cache-Control"] == (
        "max-age=86400, stale-while-revalidate=60, stale-if-error=86400"
    )
    assert fields["Cache-Control"] == "public, max-age=0, must-revalidate"
    assert fields["Cache-Tag"] == "currency:usd, currency:jpy"


def test_ssr_pages_are_never_stored() -> None:
    """The mode is a matter of headers: the same page, but nobody keeps it."""
    fields = cached("ssr", render("latest"), cdn=True)

    assert fields == never_stored()
    assert fields["Cache-Control"] == "no-store"
    assert "Cache-Tag" not in fields
    assert "CDN-Cache-Control" not in fields


def test_unfit_isr_pages_are_never_stored() -> None:
    """A render that must not be kept says so, whatever its mode."""
    assert cached("isr", render("latest", None), cdn=True) == never_stored()


def test_cdn_may_keep_a_page_where_one_is_purged() -> None:
    """With a CDN in front a page names a lifetime for shared caches; browsers still ask."""
    fields = cached("isr", render("latest"), cdn=True)
    assert fields["Cache-Control"] == "public, max-age=0, s-maxage=86400, must-revalidate"
    assert "s-maxage" not in cached("isr", render("latest"), cdn=False)["Cache-Control"]


@pytest.mark.parametrize("fields", [cached("isr", render("latest"), cdn=False), never_stored()])
def test_every_page_has_security_headers(fields: dict[str, str]) -> None:
    """They are part of the page, also of error pages."""
    assert fields["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert "Referrer-Policy" in fields


def test_the_policy_allows_nothing_inline() -> None:
    """No inline script or style, no other origin, no frame around."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


def test_server_timing_splits_the_time() -> None:
    """Calls side by side add up in `api`, but the page waited for them only once."""
    ticks = itertools.count()
    made = Render(lambda: float(next(ticks)))
    with made.reading(), made.reading():
        pass
    made.collect("/a", reply("a", duration_s=0.8, app_s=0.5))
    made.collect("/b", reply("b", duration_s=0.6, app_s=None))

    assert made.waited_s == 1.0
    assert server_timing(made, 1.25) == ("api;dur=1400.000, hop;dur=900.000, render;dur=250.000")
