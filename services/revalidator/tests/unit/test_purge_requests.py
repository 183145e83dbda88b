import random
import re

import pytest
from perfcheck_revalidator.cdn.names import names_of
from perfcheck_revalidator.cdn.port import PurgeEvent
from perfcheck_revalidator.cdn.purge_requests import FIELD_BYTES_MAX, Style, requests_of

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != ",")


def fields(
    name: str, style: Style = "ban", *, tags: tuple[str, ...] = (), paths: tuple[str, ...] = ()
) -> list[str]:
    """Return the values of the field `name` in all requests for these names."""
    requests = requests_of(names_of([PurgeEvent("e1", tags, paths)]), style)
    return [request.headers[name] for request in requests if name in request.headers]


def purged(tags: tuple[str, ...], cache_tag: str) -> bool:
    """Say whether a page with this `Cache-Tag` is purged by a ban of `tags`."""
    return any(re.search(field, cache_tag) for field in fields("Ban-Tag", tags=tags))


def test_keys_are_separated_by_spaces() -> None:
    """A PURGE names keys in small letters, for vmod xkey and for Surrogate-Key alike."""
    (request,) = requests_of(names_of([PurgeEvent("e1", ("B", "a"), ())]), "xkey")
    assert request.method == "PURGE"
    assert request.headers == {"xkey-purge": "a b", "Surrogate-Key": "a b"}


@pytest.mark.parametrize("style", ["xkey", "ban"])
def test_everything(style: Style) -> None:
    """`*` and the path `/*` ban every stored page, whatever else is named."""
    for names in (PurgeEvent("e", ("a", "*"), ()), PurgeEvent("e", (), ("/*",))):
        (request,) = requests_of(names_of([names]), style)
        assert request == ("BAN", {"Ban-Path": "^"})


def test_tag_is_matched_whole() -> None:
    """A tag purges its pages at any place and in any case, not those of a longer tag."""
    for cache_tag in ("usd", "USD", "a, usd", "usd,b", "a,  usd ,b"):
        assert purged(("usd",), cache_tag), cache_tag
    for cache_tag in ("usd2", "xusd", "currency:usd", "a, usd-eur, b", "us,d", ""):
        assert not purged(("usd",), cache_tag), cache_tag


def test_tags_are_no_expressions() -> None:
    """Whatever visible characters a tag has, it purges itself and its like are left alone."""
    rng = random.Random(3)
    for _ in range(300):
        tag = "".join(rng.choices(VISIBLE, k=rng.randint(1, 12))).lower()
        if tag == "*" or tag.startswith("path:"):
            continue
        assert purged((tag,), f"a, {tag}, b")
        assert not purged((tag,), f"a, {tag}x, b")
        (field,) = fields("Ban-Tag", tags=(tag,))
        assert not set(field) & set("\"' #{}")
    assert not purged(("a.c",), "abc")


@pytest.mark.parametrize("style", ["xkey", "ban"])
def test_fields_are_bounded_and_complete(style: Style) -> None:
    """A thousand long tags go out in fields below the limit, each of them once."""
    tags = tuple(f"{number:04}" + "-" * 252 for number in range(1000))
    name = "Ban-Tag" if style == "ban" else "xkey-purge"
    found = fields(name, style, tags=tags)
    assert max(map(len, found)) <= FIELD_BYTES_MAX
    assert sorted(re.findall(r"\b\d{4}", " ".join(found))) == [tag[:4] for tag in tags]


@pytest.mark.parametrize(
    ("path", "purged", "left"),
    [
        ("/pairs/usd", ["/pairs/usd", "/Pairs/USD", "/pairs/usd?y=1"], ["/pairs/usd/eur", "/x"]),
        ("/pairs/usd/*", ["/pairs/usd/", "/pairs/usd/eur?y=1"], ["/pairs/usd", "/pairs/usdx"]),
        ("/", ["/", "/?a"], ["/a"]),
        ("/a.b", ["/a.b", "/a%2eb"], ["/axb"]),
        ("/a+b", ["/a+b", "/a%2Bb"], ["/aab"]),
        ("/caf%C3%A9", ["/caf%C3%A9", "/caf%c3%a9"], ["/cafe"]),
        ("/café", ["/caf%C3%A9"], ["/cafe"]),
        ("/a b", ["/a%20b"], ["/ab"]),
    ],
)
def test_paths(path: str, purged: list[str], left: list[str]) -> None:
    """A path purges every spelling and query of its page, a prefix what stands below it."""
    (field,) = fields("Ban-Path", paths=(path,))
    assert [url for url in (*purged, *left) if re.search(field, url)] == purged


def test_long_path_is_cut_and_purges_more() -> None:
    """A path whose expression is too long purges every page that begins as it does."""
    path = "/" + "é" * 1023
    (field,) = fields("Ban-Path", paths=(path,))
    assert len(field) <= FIELD_BYTES_MAX
    assert re.search(field, "/" + "%C3%A9" * 1023)
