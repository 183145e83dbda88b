"""`perfcheck status`: the health of every service, and the caches of the BFF instances."""

from pathlib import Path
from typing import Any

import msgspec

from perfcheck import exits
from perfcheck.concurrent import together
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.stack.state import Run, required

STATUS_CALL_S_MAX = 3.0
SCHEMA_VERSION = 1


class _Check(msgspec.Struct):
    status: str
    detail: str | None = None


class _Health(msgspec.Struct):
    status: str
    checks: dict[str, _Check] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One service as asked: `status` is `pass`, another word of its own, or `fail` without answer.

    `cache` is what `/api/cache` of a BFF says, None for other services and without an answer.
    """

    name: str
    url: str
    status: str
    detail: str
    cache: dict[str, Any] | None = None


async def ask(directory: Path) -> list[Part]:
    """Ask every service of the running stack, all at once; raises `TargetError` if none runs."""
    run = required(directory)
    async with Http(timeout_s=STATUS_CALL_S_MAX) as http:
        return await together(_ask_one(http, name, url) for name, url in services(run))


def services(run: Run) -> list[tuple[str, str]]:
    """Return `(name, address)` of every service."""
    bffs = [(f"bff-{number}", url) for number, url in enumerate(run.urls.bff, start=1)]
    return [("api", run.urls.api), ("revalidator", run.urls.revalidator), *bffs]


def exit_code(parts: list[Part]) -> int:
    """Return 0 when every service passes, else 4."""
    return exits.PASS if all(part.status == "pass" for part in parts) else exits.FAILED


def text(parts: list[Part]) -> str:
    """Return one line for each service, those that do not pass first."""
    width = max(len(part.name) for part in parts)
    ordered = sorted(parts, key=lambda part: part.status == "pass")
    return "\n".join(_line(part, width) for part in ordered)


def as_json(parts: list[Part]) -> str:
    """Return the same as one JSON document."""
    document = {"schema_version": SCHEMA_VERSION, "exit_code": exit_code(parts), "services": parts}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _line(part: Part, width: int) -> str:
    mark = {"pass": "pass", "warn": "warn"}.get(part.status, "FAIL")
    words = [mark, part.name.ljust(width), part.url, part.detail]
    if part.cache is not None:
        words.append(_cache(part.cache))
    return "  ".join(word for word in words if word)


def _cache(cache: dict[str, Any]) -> str:
    local, counters = cache.get("local") or {}, cache.get("counters") or {}
    lease_s = cache.get("lease_remaining_s")
    lease = f"lease {lease_s:.1f} s" if isinstance(lease_s, int | float) else "no lease"
    pages = f"{local.get('pages', 0)} pages, {local.get('bytes', 0) / 1e6:.1f} MB"
    counts = ", ".join(f"{name} {count}" for name, count in counters.items() if count)
    return f"position {cache.get('position')} · {lease} · {pages}" + (
        f" · {counts}" if counts else ""
    )


async def _ask_one(http: Http, name: str, url: str) -> Part:
    try:
        reply = (await http.get(f"{url}/api/health")).expect(200, 503)
        health = reply.read(_Health)
        cache = None
        if name.startswith("bff"):
            cache = (await http.get(f"{url}/api/cache")).expect(200).read(dict[str, Any])
    except TargetError as error:
        return Part(name=name, url=url, status="fail", detail=str(error))
    # What does not pass, with its reason: that is what somebody has to repair.
    reasons = [
        f"{check_name}: {check.detail or check.status}"
        for check_name, check in health.checks.items()
        if check.status != "pass"
    ]
    if health.status != "pass" and not reasons:
        reasons = [health.status]
    return Part(name=name, url=url, status=health.status, detail="; ".join(reasons), cache=cache)
