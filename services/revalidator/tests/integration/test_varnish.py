"""The VCL of docs/cdn in a real Varnish: what is purged, and that nothing else is."""

import asyncio
import re
import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from asgi_isr.ports import SystemClock
from asgi_isr.testing import eventually, eventually_sync
from perfcheck_chassis.http_client import Reply, ServiceClient
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import environment
from perfcheck_revalidator.cdn.http_purge import HttpPurge
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.cdn.purge_requests import Style

VARNISHD = shutil.which("varnishd", path=environment().get("PATH", "") + ":/usr/sbin")
EXAMPLES = Path(__file__).parents[4] / "docs" / "cdn"
TOKEN = Secret("varnish-test-token")
START_S = 60.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(VARNISHD is None, reason="varnishd is not installed"),
]


class Origin(ThreadingHTTPServer):
    """Pages whose fields a test sets; counts how often each was made."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.made: Counter[str] = Counter()
        self.fields: dict[str, dict[str, str]] = {}
        self.gates: dict[str, threading.Event] = {}  # pages that are answered when told


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with how often this page was made."""
        assert isinstance(self.server, Origin)
        self.server.made[self.path] += 1
        body = f"{self.path} {self.server.made[self.path]}".encode()
        if gate := self.server.gates.get(self.path):
            gate.wait(START_S)
        self.send_response(200)
        fields = {"Cache-Control": "max-age=0, s-maxage=3600"}
        for name, value in (fields | self.server.fields.get(self.path, {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its signature
        """Say nothing."""


class Edge(NamedTuple):
    """A running Varnish before an origin."""

    origin: Origin
    url: str
    style: Style


def _compiles(varnishd: str, vmod: str, directory: Path) -> bool:
    """Say whether this varnishd finds `vmod`, by compiling a VCL that imports it."""
    vcl = directory / "import.vcl"
    vcl.write_text(f"vcl 4.1;\nimport {vmod};\nbackend default none;\n")
    command = [varnishd, "-C", "-j", "none", "-n", str(directory / "compile"), "-f", str(vcl)]
    done = subprocess.run(  # noqa: S603  the varnishd that was found
        command, capture_output=True, timeout=START_S, check=False
    )
    return done.returncode == 0


def _start(command: list[str], log: Path) -> tuple[subprocess.Popen[bytes], int] | None:
    """Start varnishd on a free port; None when somebody took that before it did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  the varnishd that was found
            [*command, "-a", f"127.0.0.1:{port}"],
            stdout=output,
            stderr=output,
            env={**environment(), "PURGE_TOKEN": TOKEN.reveal()},
        )

    def accepts() -> bool:
        """Stop asking once the process has ended."""
        if process.poll() is not None:
            return True
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True

    eventually_sync(accepts, timeout_s=START_S, ignoring=(OSError,))
    if process.poll() is None:
        return process, port
    text = log.read_text()
    assert "Address already in use" in text, text
    return None


@pytest.fixture(scope="module", params=["xkey", "ban"])
def edge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """Give a Varnish with the example for this style, before an origin of its own."""
    assert VARNISHD is not None
    name = "varnish-xkey.vcl" if request.param == "xkey" else "varnish.vcl"
    directory = tmp_path_factory.mktemp("varnish")
    if request.param == "xkey" and not _compiles(VARNISHD, "xkey", directory):
        pytest.skip("vmod xkey is not installed (package varnish-modules)")
    origin = Origin()
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    for example in EXAMPLES.glob("*.vcl"):
        text, changed = re.subn(
            r'\.port = "8080"', f'.port = "{origin.server_port}"', example.read_text()
        )
        assert changed == (example.name == "varnish.vcl")
        (directory / example.name).write_text(text)
    command = [VARNISHD, "-F", "-j", "none", "-n", str(directory / "work"), "-T", "none"]
    command += ["-f", str(directory / name), "-s", "malloc,32m"]
    command += ["-p", "http_resp_hdr_len=16k", "-p", "http_resp_size=64k"]  # as docs/cdn.md says
    started = eventually_sync(lambda: _start(command, directory / "varnishd.log"))
    process, port = started
    try:
        yield Edge(origin, f"http://127.0.0.1:{port}", request.param)
    finally:
        process.terminate()
        process.wait(20)
        origin.shutdown()
        origin.server_close()


@pytest.fixture
async def browser(edge: Edge) -> AsyncIterator[ServiceClient]:
    """Give a client of Varnish."""
    async with ServiceClient(edge.url) as client:
        yield client


@pytest.fixture
async def cdn(edge: Edge) -> AsyncIterator[HttpPurge]:
    """Give the purger of this Varnish."""
    opened = HttpPurge([edge.url], SystemClock(), style=edge.style, token=TOKEN.reveal())
    yield opened
    await opened.close()


async def page(edge: Edge, browser: ServiceClient, path: str, cache_tag: str = "") -> None:
    """Have a page with this `Cache-Tag` stored by Varnish."""
    edge.origin.fields[path] = {"Cache-Tag": cache_tag} if cache_tag else {}
    await browser.get(path)
    assert (await browser.get(path)).headers["x-cache"] == "hit"


async def kept(browser: ServiceClient, path: str) -> bool:
    """Say whether Varnish still answers this page itself."""
    reply = await browser.get(path)
    assert reply.status == 200
    return reply.headers["x-cache"] == "hit"


async def test_purge_by_tag(edge: Edge, browser: ServiceClient, cdn: HttpPurge) -> None:
    """A page is purged by any of its tags in any case, and made again; its neighbours stay."""
    await page(edge, browser, "/t/1", "pair:usd-eur, Currency:USD")
    await page(edge, browser, "/t/2", "currency:usd2, x-currency:usd,currency:us")
    await page(edge, browser, "/t/3")
    (purge,) = await cdn.purge([PurgeEvent("e1", ("currency:usd",), ())], again=False)
    assert purge.status == "completed"
    assert await cdn.completed(purge) == purge
    assert not await kept(browser, "/t/1")
    assert (await browser.get("/t/1")).body == b"/t/1 2"
    assert await kept(browser, "/t/2")
    assert await kept(browser, "/t/3")


@pytest.mark.parametrize("tag", ['a"b', "a\\b", "a'b", "(", "a|b", "a.c", "$x", "#t", "&&", "{x}"])
async def test_tags_of_any_characters(
    edge: Edge, browser: ServiceClient, cdn: HttpPurge, tag: str
) -> None:
    """A tag with characters that mean something to VCL or PCRE purges its page and no other."""
    hit, left = f"/c/1/{tag.encode().hex()}", f"/c/2/{tag.encode().hex()}"
    await page(edge, browser, hit, f"x, {tag}")
    await page(edge, browser, left, "abc, a, b, x")
    await cdn.purge([PurgeEvent("e1", (tag,), ())], again=False)
    assert not await kept(browser, hit)
    assert await kept(browser, left)


async def test_purge_by_path(edge: Edge, browser: ServiceClient, cdn: HttpPurge) -> None:
    """A path purges its page with every query and in every spelling; a prefix what is below."""
    hit = ["/p/usd", "/p/usd?y=1", "/P/USD", "/d/1999/01", "/caf%C3%A9"]
    left = ["/p/usd-old", "/p/usd/eur", "/d/1999", "/d/19990", "/cafe"]
    for path in (*hit, *left):
        await page(edge, browser, path)
    await cdn.purge([PurgeEvent("e1", (), ("/p/usd", "/d/1999/*", "/café"))], again=True)
    assert [path for path in (*hit, *left) if not await kept(browser, path)] == hit


async def test_purge_of_everything(edge: Edge, browser: ServiceClient, cdn: HttpPurge) -> None:
    """`*` purges every page, with and without tags."""
    await page(edge, browser, "/e/1", "a")
    await page(edge, browser, "/e/2")
    await cdn.purge([PurgeEvent("e1", ("*",), ())], again=False)
    assert not await kept(browser, "/e/1")
    assert not await kept(browser, "/e/2")


@pytest.mark.parametrize("width", [8, 100, 256])
async def test_thousand_tags_against_a_page_of_fifty(
    edge: Edge, browser: ServiceClient, cdn: HttpPurge, width: int
) -> None:
    """The largest event reaches the page with the most tags, and leaves its like alone."""
    hit, left = f"/l/1/{width}", f"/l/2/{width}"
    named = [f"{n:04}{'-' * (width - 4)}" for n in range(1000)]
    others = [f"{tag[:-1]}x" for tag in named[950:]]
    await page(edge, browser, hit, ", ".join([*others[:49], named[-1]]))
    await page(edge, browser, left, ", ".join(others))
    await cdn.purge([PurgeEvent("e1", tuple(named), ())], again=False)
    assert not await kept(browser, hit)
    assert await kept(browser, left)


async def test_answer_under_way_is_purged_by_the_second(
    edge: Edge, browser: ServiceClient, cdn: HttpPurge
) -> None:
    """An old page that was under way during the purge is gone after the second one (rule 10)."""
    path, event = "/under-way", PurgeEvent("e1", ("u",), ("/under-way",))
    edge.origin.fields[path] = {"Cache-Tag": "u"}
    gate = edge.origin.gates[path] = threading.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(browser.get(path))
        await eventually(lambda: edge.origin.made[path])
        await cdn.purge([event], again=False)
        gate.set()
        assert (await asking).body.endswith(b" 1")
    await cdn.purge([event], again=True)
    assert (await browser.get(path)).body.endswith(b" 2")


async def test_what_is_not_for_caches_is_not_kept(edge: Edge, browser: ServiceClient) -> None:
    """Stale answers (`no-store`) and pages without a lifetime for shared caches pass through."""
    for path, fields in {
        "/n/1": {"Cache-Control": "no-store"},
        "/n/2": {"Cache-Control": "public, max-age=0, must-revalidate"},
        "/n/3": {"CDN-Cache-Control": "no-store"},
        "/n/4": {"CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store"},
        "/n/5": {"CDN-Cache-Control": "max-age=60", "Age": "60"},
    }.items():
        edge.origin.fields[path] = fields
        await browser.get(path)
        assert not await kept(browser, path), path
        assert edge.origin.made[path] == 2
    edge.origin.fields["/n/6"] = {
        "CDN-Cache-Control": "max-age=60, stale-if-error=86400",
        "Cache-Control": "public, max-age=0, must-revalidate",
    }
    await browser.get("/n/6")
    assert await kept(browser, "/n/6")


@pytest.mark.parametrize(
    "own", [{"Consistency-Token": "t"}, {"Cookie": "a=b; consistency-token=t"}]
)
async def test_own_writes_bypass(edge: Edge, browser: ServiceClient, own: dict[str, str]) -> None:
    """A request with a consistency token goes to the page cache, and its answer is not kept."""
    path = f"/own/{next(iter(own))}"
    await page(edge, browser, path)
    reply: Reply = await browser.get(path, headers=own)
    assert reply.headers["x-cache"] == "pass"
    assert reply.body.endswith(b" 2")
    assert (await browser.get(path)).body.endswith(b" 1")


async def test_wrong_token_is_refused(edge: Edge, browser: ServiceClient) -> None:
    """Who does not know the token purges nothing, and is told so for good."""
    await page(edge, browser, "/w/1", "w")
    for token in ("wrong", None):
        cdn = HttpPurge([edge.url], SystemClock(), style=edge.style, token=token)
        with pytest.raises(CdnError, match="403") as caught:
            await cdn.purge([PurgeEvent("e1", ("w",), ())], again=False)
        await cdn.close()
        assert caught.value.permanent
    assert await kept(browser, "/w/1")
