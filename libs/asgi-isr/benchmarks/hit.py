"""CPU time of a hit beside bare servers with the same bytes, all in one run.

Every round measures every case once, so that what else the machine does meets all alike; the ratio
of a case is taken to the bare ASGI app of the same round.
"""

import gzip
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.apps import BODY, PATH
from benchmarks.load import CONNECTIONS, Request, ask, drive, generator
from benchmarks.report import BenchmarkError, Report, Value, rounded
from benchmarks.servers import Server, granian, installed, nginx, varnish

ROUNDS = 9
SECONDS = 1.0
WARM_UP_SECONDS = 0.2
JOIN_ATTEMPTS_MAX = 100
BASE = "bare ASGI"
CODINGS = ("gzip", "br", "zstd")


class Case(NamedTuple):
    """What one row measures."""

    name: str
    server: Server
    request: Request


def _of(server: Server, name: str, path: str = PATH, status: int = 200, **fields: str) -> Case:
    """Make a case, after one answer was checked."""
    pairs = tuple((key.replace("_", "-"), value) for key, value in fields.items())
    case = Case(name, server, Request(server.port, path, pairs))
    answer = ask(case.request)
    body = answer.body
    if answer.fields.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    uncoded = answer.fields.get("content-encoding", "gzip") == "gzip"
    if answer.status != status or (status == 200 and uncoded and body != BODY):  # noqa: PLR2004  OK
        raise BenchmarkError(f"{name}: unexpected answer {answer.status}, {answer.fields}")
    return case


def _conditional(server: Server, name: str, path: str = PATH) -> Case:
    etag = ask(Request(server.port, path, ())).fields.get("etag")
    if etag is None:
        raise BenchmarkError(f"{name}: the answer has no ETag")
    return _of(server, name, path, 304, If_None_Match=etag)


def _cached(server: Server) -> Iterator[Case]:
    """Give the cases of the cache: each coding that it answers with, and 304."""
    _wait_for_hit(server)
    yield _of(server, "hit")
    for coding in CODINGS:
        request = Request(server.port, PATH, (("Accept-Encoding", coding),))
        answer = ask(request)
        if answer.fields.get("content-encoding") == coding:
            yield _of(server, f"hit, {coding}", Accept_Encoding=coding)
    yield _conditional(server, "hit, 304")


def _wait_for_hit(server: Server) -> None:
    """Ask until the page is stored: until it has joined its log the cache keeps nothing."""
    status = ""
    for _ in range(JOIN_ATTEMPTS_MAX):
        status = ask(Request(server.port, PATH, ())).fields.get("cache-status", "")
        if "; hit" in status:
            return
    raise BenchmarkError(f"the cache does not keep the page: {status}")


def _peers(stack: ExitStack, directory: Path, backend: Server) -> Iterator[Case | str]:
    """Give the cases of other servers, or why there is none."""
    program = installed("nginx")
    if program is None:
        yield "nginx is not installed"
    else:
        (directory / "page").write_bytes(BODY)
        (directory / "page.gz").write_bytes(gzip.compress(BODY, mtime=0))
        server = stack.enter_context(nginx(program, directory))
        yield _of(server, "nginx, file")
        yield _of(server, "nginx, gzip", Accept_Encoding="gzip")
        yield _conditional(server, "nginx, 304")
    program = installed("varnishd")
    if program is None:
        yield "Varnish is not installed"
    else:
        server = stack.enter_context(varnish(program, directory, backend.port))
        yield _of(server, "Varnish, hit")
        yield _of(server, "Varnish, gzip", "/gzip", Accept_Encoding="gzip")
        yield _conditional(server, "Varnish, 304")


def _cpu_us(case: Case, seconds: float) -> float:
    before = case.server.cpu_s()
    requests = drive(case.request, seconds)
    return (case.server.cpu_s() - before) / requests * 1e6


def _row(name: str, values: list[float], base: list[float]) -> dict[str, Value]:
    ratios = [value / other for value, other in zip(values, base, strict=True)]
    return {
        "case": name,
        "CPU µs": rounded(statistics.median(values)),
        "ratio": rounded(statistics.median(ratios)),
        "least": rounded(min(ratios)),
        "most": rounded(max(ratios)),
    }


def measure(*, quick: bool) -> list[Report]:
    """Measure all cases; `quick` shows that it works, its figures say nothing."""
    rounds, seconds = (1, 0.2) if quick else (ROUNDS, SECONDS)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bare = stack.enter_context(granian("bare", "asgi"))
        cached = stack.enter_context(granian("cached", "asgi"))
        rsgi = stack.enter_context(granian("bare_rsgi", "rsgi"))
        cases = [_of(bare, BASE), *_cached(cached), _of(rsgi, "bare RSGI")]
        missing: list[str] = []
        for peer in _peers(stack, directory, bare):
            if isinstance(peer, str):
                missing.append(peer)
            else:
                cases.append(peer)
        for case in cases:
            drive(case.request, WARM_UP_SECONDS)
        figures: dict[str, list[float]] = {case.name: [] for case in cases}
        for number in range(rounds):
            for case in cases if number % 2 == 0 else reversed(cases):
                figures[case.name].append(_cpu_us(case, seconds))
    rows = [_row(name, values, figures[BASE]) for name, values in figures.items()]
    notes = (
        "CPU of the server's processes, user and system; ratio to the bare ASGI app, each round's",
        f"{rounds} rounds of {seconds:g} s a case; median, least and most of them",
        f"closed loop over {CONNECTIONS} connections by {generator(seconds)}",
        f"page of {len(BODY):,} bytes; the bare apps answer with the bytes of a hit",
        *missing,
    )
    return [Report("hit: CPU time per request", rows, notes)]
