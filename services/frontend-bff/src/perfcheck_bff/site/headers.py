"""Response headers of pages: what a cache may do, what a browser may load, where time went; pure.

The mode of a page is a matter of these headers and of nothing else. Security headers are part of
the page, so that a page from the cache has them at no cost.
"""

from asgi_isr.events import ORIGIN_HEADER
from perfcheck_chassis.http import NEVER_STORED

from perfcheck_bff.reading.render import Render
from perfcheck_bff.site.variants import Mode

__all__ = ["CONTENT_SECURITY_POLICY", "SECURITY", "cached", "never_stored", "server_timing"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for what does not know frame-ancestors
}
_ISR = {
    "CDN-Cache-Control": "max-age=86400, stale-while-revalidate=60, stale-if-error=86400",
    "Cache-Control": "public, max-age=0, must-revalidate",
}
# For caches between us and browsers, where something purges them (rule 10 of the protocol).
_CDN = {"Cache-Control": "public, max-age=0, s-maxage=86400, must-revalidate"}


def cached(mode: Mode, render: Render, *, cdn: bool) -> dict[str, str]:
    """Return the headers of a complete page: kept under its tags in ISR, else never stored.

    With `cdn` the page may also be kept by a CDN in front, which must be purged by tag.
    """
    if mode != "isr" or render.refusal is not None:
        return never_stored()
    fields = {**SECURITY, **_ISR, **(_CDN if cdn else {})}
    if render.origins:  # by which the cache knows whether the log tells of them
        fields[ORIGIN_HEADER] = ", ".join(render.origins)
    return {**fields, "Cache-Tag": ", ".join(render.tags)}


def never_stored() -> dict[str, str]:
    """Return the headers of a page that is for this request only."""
    return {**SECURITY, **NEVER_STORED}


def server_timing(render: Render, total_s: float) -> str:
    """Say where the time went, in milliseconds.

    `api` is all calls of the api added up, `hop` the part of it that the api did not spend in its
    own application, `render` what of `total_s` passed while no call was under way.
    """
    render_s = max(total_s - render.waited_s, 0.0)
    return (
        f"api;dur={render.api_s * 1000:.3f}, hop;dur={render.hop_s * 1000:.3f}, "
        f"render;dur={render_s * 1000:.3f}"
    )
