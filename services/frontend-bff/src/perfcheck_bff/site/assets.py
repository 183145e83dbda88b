"""Stylesheet, script and icon, read once, served under names that hold a hash of their content.

A page that was cached by an earlier release still names that release's hash. It gets the present
file then, for this once: an older page with a newer style beats one with none.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from litestar import HttpMethod, Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from perfcheck_chassis.http import NEVER_STORED

__all__ = ["STATIC", "Asset", "asset_routes", "load_assets"]

STATIC = Path(__file__).parent / "static"
_HASH_CHARS = 12
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HASHED = re.compile(rf"^([a-z]+)\.([0-9a-f]{{{_HASH_CHARS}}})(\.[a-z]+)$")
_IMMUTABLE = "public, max-age=31536000, immutable"
_OF_ANOTHER_RELEASE = NEVER_STORED["Cache-Control"]
# An SVG opened by itself is a document: it may draw, and nothing else.
_CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file: `url` is where pages find it."""

    name: str
    hash: str
    url: str
    media_type: str
    body: bytes


def load_assets(folders: Sequence[Path] = (STATIC,)) -> dict[str, Asset]:
    """Read every file of `folders`, by its plain name (`app.css`)."""
    assets = {}
    for path in sorted(file for folder in folders for file in folder.iterdir()):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:_HASH_CHARS]
        assets[path.name] = Asset(
            name=path.name,
            hash=digest,
            url=f"/assets/{path.stem}.{digest}{path.suffix}",
            media_type=_MEDIA_TYPES[path.suffix],
            body=body,
        )
    return assets


def asset_routes(assets: Mapping[str, Asset]) -> list[HTTPRouteHandler]:
    """Return the handlers of `/assets/…`, `/favicon.ico` and `/robots.txt`."""

    @route(
        "/assets/{name:str}",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        include_in_schema=False,
        sync_to_thread=False,
    )
    def asset(name: str) -> Response[bytes]:
        match = _HASHED.match(name)
        found = assets.get(match[1] + match[3]) if match else None
        if match is None or found is None:
            raise NotFoundException(detail=f"there is no asset {name!r}")
        return _answer(found, _IMMUTABLE if match[2] == found.hash else _OF_ANOTHER_RELEASE)

    @route(
        "/favicon.ico",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        include_in_schema=False,
        sync_to_thread=False,
    )
    def favicon() -> Response[bytes]:
        return _answer(assets["favicon.svg"], "public, max-age=86400")

    @route(
        "/robots.txt",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        include_in_schema=False,
        sync_to_thread=False,
    )
    def robots() -> Response[bytes]:
        # The pages under /ssr cost a render each and say what the cached ones say.
        return Response(
            b"User-agent: *\nDisallow: /ssr\nDisallow: /api/\nDisallow: /perf\n",
            media_type="text/plain",
            headers={"Cache-Control": "public, max-age=86400", "CDN-Cache-Control": "no-store"},
        )

    return [asset, favicon, robots]


def _answer(asset: Asset, cache_control: str) -> Response[bytes]:
    return Response(
        asset.body,
        media_type=asset.media_type,
        headers={
            "Cache-Control": cache_control,
            "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
        },
    )
