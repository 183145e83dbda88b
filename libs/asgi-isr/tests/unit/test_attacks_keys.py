"""Requests made so that their answer is kept as the page of another request."""

from typing import Any

import pytest
from asgi_isr.http.vary import variant_key
from asgi_isr.pages.vary_memory import BYTES_MAX, VaryingKeys
from asgi_isr.testing import request

VARYING = [(b"vary", b"accept-language")]
GERMAN = {"Accept-Language": "de"}


async def test_line_break_in_a_path_reaches_no_variant(site: Any) -> None:
    """A path that holds what tells variants apart (%0A) poisons no variant of another page."""
    site.app.headers["/a"] = VARYING
    app = await site.instance()
    path = variant_key("/a", ("accept-language",), [(b"accept-language", b"de")])
    poisoned = await request(app, path)
    assert "stored" not in poisoned.cache_status
    await request(app, "/a", headers={"Accept-Language": "en"})
    assert (await request(app, "/a", headers=GERMAN)).body == b"page /a"
    assert (await request(app, path)).body == b"page " + path.encode()


async def test_host_like_a_scheme_reaches_no_other_page(site: Any) -> None:
    """`Host: https:` and a path that begins with a host make no page of that host."""
    app = await site.instance()
    await request(app, "//shop/a", headers={"Host": "https:"})
    page = await request(app, "/a", headers={"Host": "shop"}, scheme="https")
    assert page.body == b"page /a"
    assert (await request(app, "//shop/a", headers={"Host": "https:"})).body == b"page //shop/a"


@pytest.mark.parametrize(
    ("query", "host"), [("q=" + "a" * 5000, "shop"), ("", "a" * 300)], ids=["query", "host"]
)
async def test_overlong_key_is_not_kept(site: Any, query: str, host: str) -> None:
    """What a client can make as long as it likes is no key: the app answers, nothing is kept."""
    app = await site.instance()
    for _ in range(2):
        reply = await request(app, "/a", query=query, headers={"Host": host})
        assert "fwd=bypass" in reply.cache_status


def test_names_of_varying_pages_are_bounded_by_bytes() -> None:
    """However many long keys of varying pages are asked for, what is remembered is bounded."""
    keys = VaryingKeys()
    for number in range(20_000):
        keys.note(f"/{number:04000}", ("accept-language",))
    assert sum(map(len, keys)) <= BYTES_MAX
    assert "/" + "19999".zfill(4000) in keys


async def test_order_of_a_repeated_parameter_is_kept(site: Any) -> None:
    """Of a parameter that is given twice the app sees the values in the client's order."""
    app = await site.instance(query=frozenset({"a", "b"}))
    await request(app, "/a", query="b=0&a=2&x=3&a=1")
    assert site.app.scopes[0]["query_string"] == b"a=2&a=1&b=0"
    assert "hit" not in (await request(app, "/a", query="a=1&a=2&b=0")).cache_status
    assert "hit" in (await request(app, "/a", query="a=2&b=0&a=1")).cache_status
