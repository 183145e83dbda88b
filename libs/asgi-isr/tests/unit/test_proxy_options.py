"""The command line of the proxy, and that its documentation says the same."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgi_isr.proxy.options import address, flag, origin, parse, place
from asgi_isr.proxy.pool import Origin
from asgi_isr.proxy.settings import CACHE_HELP, PROXY_HELP, ProxySettings
from asgi_isr.settings import CacheSettings

DOCUMENT = Path(__file__).parents[2] / "docs/proxy.md"
LEAST = ["proxy", "--upstream", "http://127.0.0.1:3000"]


def test_defaults_are_those_of_the_settings() -> None:
    """Without options every setting has the default of its field."""
    assert parse(LEAST) == ProxySettings(upstream="http://127.0.0.1:3000")


def test_every_kind_of_setting() -> None:
    """Texts, numbers, switches, lists and names of parameters are read."""
    given = parse(
        [
            *LEAST, "--workers", "3", "--trust-forwarded", "--bypass", "/a/", "--bypass", "/b/",
            "--query", "page,lang", "--no-vary-host", "--lease", "2.5", "--release", "7",
        ]
    )  # fmt: skip
    assert (given.workers, given.trust_forwarded) == (3, True)
    expected = CacheSettings(
        bypass=("/a/", "/b/"),
        query=frozenset({"page", "lang"}),
        vary_host=False,
        lease_s=2.5,
        release="7",
    )
    assert given.cache == expected
    assert parse([*LEAST, "--query", ""]).cache.query == frozenset()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--upstream", "ftp://a"], "--upstream: 'ftp://a' is not valid: give scheme"),
        (["--upstream", "http://a/path"], "--upstream"),
        (["--upstream", "http://u:p@a"], "--upstream"),
        (["--upstream", "http://a:x"], "--upstream"),
        (["--upstream", "http://a:99999"], "--upstream"),
        (["--listen", "8080"], "--listen: '8080' is not valid: give host and port"),
        (["--listen", "a:0"], "--listen"),
        (["--listen", "a:b"], "--listen"),
        (["--store", "memcached://a"], "--store: give a URL that begins with redis://"),
        (["--log", "127.0.0.1:4222"], "--log: give a URL that begins with nats://"),
        (["--upstream-host", "a/b"], "--upstream-host"),
        (["--name", "two words"], "--name"),
        (["--bypass", "api"], "--bypass: 'api' does not begin with '/'"),
        (["--workers", "0"], "--workers: give a number above 0"),
        (["--workers", "many"], "--workers"),
        (["--lease", "nan"], "--lease: give a number above 0"),
        (["--idle-timeout", "inf"], "--idle-timeout: give a number above 0"),
        (["--upstre", "http://a"], "--upstre"),
        (
            ["--heuristic"],
            "from --guess-freshness, --store-set-cookie, --store-errors",
        ),
    ],
)
def test_wrong_value(arguments: list[str], said: str, capsys: Any) -> None:
    """A value that is not valid ends the command with status 2, names the flag, and helps."""
    with pytest.raises(SystemExit) as ended:
        parse([*LEAST, *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("http://a", Origin("a", 80), "a"),
        ("http://a:3000/", Origin("a", 3000), "a:3000"),
        ("https://a", Origin("a", 443, tls=True), "a"),
        ("http://[::1]:80", Origin("::1", 80), "[::1]"),
    ],
)
def test_origin(url: str, expected: Origin, authority: str) -> None:
    """The upstream's URL says host, port and TLS; its authority leaves a usual port out."""
    assert origin(url) == expected
    assert expected.authority == authority


def test_address() -> None:
    """An address is a host and a port."""
    assert address("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert address("[::1]:80") == ("::1", 80)


def test_secrets_are_not_shown() -> None:
    """What is told of a URL leaves user, password and query out."""
    assert place("redis://user:secret@a:6379/0?x=secret") == "redis://a:6379/0"


def test_document_lists_every_option() -> None:
    """The tables of docs/proxy.md have every flag, with its default and the words of its help."""
    row = re.compile(r"^\| `(--[a-z-]+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
    rows = row.findall(DOCUMENT.read_text())
    expected = []
    for struct, helps in ((ProxySettings, PROXY_HELP), (CacheSettings, CACHE_HELP)):
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        expected += [(flag(name), shown(fields[name].default), helps[name]) for name in helps]
    assert rows == expected


def shown(default: object) -> str:
    """Return a default as the document shows it."""
    if default is msgspec.NODEFAULT:
        return "required"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, int | float):
        return f"{default:,}" if isinstance(default, int) else f"{default:g}"
    return f"`{default}`" if default else "none"
