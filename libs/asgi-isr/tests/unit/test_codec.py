"""What the shared store holds: round trips, and every damage is found."""

import random
import zlib

import msgspec
import pytest
from asgi_isr.errors import CorruptPageError
from asgi_isr.pages import codec
from asgi_isr.pages.codec import FORMAT_VERSION, decode, encode
from asgi_isr.pages.page import Page, Varied
from hypothesis import given
from hypothesis import strategies as st

PAGE = Page(
    key="test/a?b=1", status=200, headers=[(b"content-type", b"text/html"), (b"x", b"\xe9\x00")],
    etag=b'"a"', given=True, bodies={"": b"body", "gzip": b"\x1f\x8b"}, tags=("*", "path:/a"),
    fence=7, created=1.5, ttl_s=60.0, swr_s=5.0, sie_s=0.0, vary=("x",), validate=True, public=True,
)  # fmt: skip
VARIED = Varied(key="test/a", vary=("accept-language", "x"))


def sealed(kind: bytes, content: object) -> bytes:
    """Return stored bytes of any content with a checksum that is right."""
    rest = kind + msgspec.msgpack.encode(content)
    return FORMAT_VERSION + zlib.crc32(rest).to_bytes(4, "big") + rest


@pytest.mark.parametrize("stored", [PAGE, VARIED, Varied(key="", vary=())])
def test_round_trip(stored: Page | Varied) -> None:
    """What was stored comes back equal, of its own kind."""
    assert decode(encode(stored), stored.key) == stored


@given(st.text(max_size=30), st.lists(st.text(max_size=20), max_size=16).map(tuple))
def test_any_varied_comes_back(key: str, vary: tuple[str, ...]) -> None:
    """Keys and names of any characters survive."""
    assert decode(encode(Varied(key=key, vary=vary)), key) == Varied(key=key, vary=vary)


@pytest.mark.parametrize("stored", [PAGE, VARIED])
def test_every_damage_is_found(stored: Page | Varied) -> None:
    """A bit that flipped, an end that is missing, bytes that were added: each is corrupt."""
    data = encode(stored)
    damaged = [data[:end] for end in range(len(data))]
    damaged += [data + b"\x00", b"\x00" + data, data * 2]
    for at in range(len(data)):
        damaged += [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for bit in range(8)]
    for one in damaged:
        with pytest.raises(CorruptPageError):
            decode(one, stored.key)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x02", FORMAT_VERSION + bytes(4), b"\x01" + encode(VARIED)[1:],
        sealed(b"v", None), sealed(b"v", []), sealed(b"v", ["test/a"]),
        sealed(b"v", ["test/a", "x"]),
        sealed(b"v", ["test/a", [1]]), sealed(b"v", [b"test/a", []]),
        sealed(b"v", {"key": "test/a"}),
        sealed(b"v", ["test/b", ["x"]]), sealed(b"p", ["test/a", ["x"]]),
        sealed(b"", ["test/a", []]),
        sealed(b"p", msgspec.structs.replace(PAGE, key="test/a", bodies={"gzip": b""})),
        sealed(b"v", msgspec.structs.replace(PAGE, key="test/a")),
        sealed(b"p", msgspec.structs.replace(PAGE, key="test/b")),
    ],
)  # fmt: skip
def test_what_is_no_entry_of_the_key(data: bytes) -> None:
    """Another version, shape, type, kind or key is corrupt even where the checksum is right."""
    with pytest.raises(CorruptPageError):
        decode(data, "test/a")


def test_noise_is_corrupt() -> None:
    """Random bytes, with the version or a right checksum before them, never are an entry."""
    rng = random.Random(20261124)
    for _ in range(2000):
        noise = rng.randbytes(rng.randint(0, 60))
        rest = rng.choice([b"p", b"v", b""]) + noise
        for data in (noise, FORMAT_VERSION + noise,
                     FORMAT_VERSION + zlib.crc32(rest).to_bytes(4, "big") + rest):  # fmt: skip
            with pytest.raises(CorruptPageError):
                decode(data, "test/a")


def test_shared_fields_are_bounded_in_bytes() -> None:
    """However many fields pages bring, with names or values however long, little is kept."""
    for number in range(codec._SHARED_MAX + 10):
        extra = [(b"x" * 5000 + b"%d" % number, b"1"), (b"x", b"y" * 5000 + b"%d" % number)]
        page = msgspec.structs.replace(PAGE, headers=[(b"a", b"%d" % number), *extra])
        assert codec.one_of_each(page) == page
    assert len(codec._fields) <= codec._SHARED_MAX
    assert max(len(name) + len(value) for name, value in codec._fields) <= codec._SHARED_CHARS_MAX


def test_pages_share_what_repeats() -> None:
    """Fields and tags of two pages that came from the store are the same objects."""
    one, other = (decode(encode(PAGE), PAGE.key) for _ in range(2))
    assert isinstance(one, Page)
    assert isinstance(other, Page)
    assert all(mine is yours for mine, yours in zip(one.headers, other.headers, strict=True))
    assert all(mine is yours for mine, yours in zip(one.tags, other.tags, strict=True))
