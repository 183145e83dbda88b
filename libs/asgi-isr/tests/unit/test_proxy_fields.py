"""Which fields cross the proxy: a table of cases, each with its section of RFC 9110 or 9112."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from asgi_isr.proxy.fields import loops, max_forwards, request_fields, response_fields
from asgi_isr.types import Headers

REQUEST: dict[str, Any] = {
    "name": "isr",
    "version": "1.1",
    "scheme": "https",
    "client": "192.0.2.1",
    "method": "GET",
    "trusted": False,
}
ADDED = "x-forwarded-for: 192.0.2.1|x-forwarded-proto: https|via: 1.1 isr"


class Case(NamedTuple):
    """Fields as `name: value|name: value`, before and after."""

    id: str
    section: str
    given: str
    expected: str
    options: Mapping[str, Any] = MappingProxyType({})


REQUESTS = [
    Case("nothing", "7.6.3", "", ADDED),
    Case("end-to-end", "7.6.1", "accept: a|x: 1|x: 2", "accept: a|x: 1|x: 2|" + ADDED),
    Case("host", "7.2", "host: a",
         "host: a|x-forwarded-for: 192.0.2.1|x-forwarded-proto: https|x-forwarded-host: a|"
         "via: 1.1 isr"),
    *(Case(name, "7.6.1", f"x: 1|{name}: y", "x: 1|" + ADDED)
      for name in ("connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info",
                   "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade")),
    Case("named", "7.6.1", "connection: A, b|a: 1|b: 2|c: 3", "c: 3|" + ADDED),
    Case("named-in-two", "7.6.1", "connection: a|connection: b|a: 1|b: 2", ADDED),
    Case("named-for-all", "7.6.1", "connection: cookie, range, authorization|cookie: a|range: b|"
         "authorization: c", "cookie: a|range: b|authorization: c|" + ADDED),
    Case("named-length", "7.6.1", "connection: content-length|content-length: 3",
         "content-length: 3|" + ADDED),
    Case("named-coding", "7.6.1", "connection: transfer-encoding|transfer-encoding: chunked",
         "transfer-encoding: chunked|" + ADDED),
    Case("chunked", "9112 6.1", "transfer-encoding: chunked",
         "transfer-encoding: chunked|" + ADDED),
    Case("expect", "10.1.1", "expect: 100-continue", "expect: 100-continue|" + ADDED),
    Case("via", "7.6.3", "via: 1.0 a", "via: 1.0 a|" + ADDED),
    Case("via-1.0", "7.6.3", "", ADDED.replace("1.1", "1.0"), {"version": "1"}),
    Case("claims", "-", "x-forwarded-for: a|x-forwarded-port: 1|forwarded: for=a", ADDED),
    Case("claims-hidden", "7.6.1", "connection: x-forwarded-for|x-forwarded-for: a", ADDED),
    Case("claims-trusted", "-", "x-forwarded-for: a|x-forwarded-proto: http|forwarded: for=a",
         "x-forwarded-proto: http|forwarded: for=a|x-forwarded-for: a, 192.0.2.1|via: 1.1 isr",
         {"trusted": True}),
    *(Case(f"underscore-{trusted}", "-", "x_forwarded_host: a|accept_language: b|content_length: 1|"
           "c: 2", "c: 2|" + ADDED, {"trusted": trusted})
      for trusted in (False, True)),
    Case("unix-client", "-", "", "x-forwarded-proto: https|via: 1.1 isr", {"client": "sock"}),
    Case("ipv6-client", "-", "", ADDED.replace("192.0.2.1", "2001:db8::1"),
         {"client": "2001:db8::1"}),
    Case("max-forwards", "7.6.2", "max-forwards: 5", "max-forwards: 4|" + ADDED,
         {"method": "TRACE"}),
    Case("max-forwards-options", "7.6.2", "max-forwards: 1", "max-forwards: 0|" + ADDED,
         {"method": "OPTIONS"}),
    Case("max-forwards-get", "7.6.2", "max-forwards: 5", "max-forwards: 5|" + ADDED),
    Case("max-forwards-text", "7.6.2", "max-forwards: -1", "max-forwards: -1|" + ADDED,
         {"method": "TRACE"}),
]  # fmt: skip
RESPONSES = [
    Case("nothing", "7.6.3", "", "via: 1.1 isr"),
    Case("cookies", "5.3", "set-cookie: a|set-cookie: b", "set-cookie: a|set-cookie: b|"
         "via: 1.1 isr"),
    Case("hop-by-hop", "7.6.1", "connection: close, x|x: 1|keep-alive: 5|transfer-encoding: "
         "chunked|trailer: t|upgrade: h2c|proxy-authenticate: Basic", "via: 1.1 isr"),
    Case("named-for-all", "7.6.1", "connection: cache-control, set-cookie, vary|cache-control: "
         "private|set-cookie: a|vary: b", "cache-control: private|set-cookie: a|vary: b|"
         "via: 1.1 isr"),
    Case("length", "8.6", "content-length: 3", "content-length: 3|via: 1.1 isr"),
    Case("length-204", "8.6", "content-length: 0", "via: 1.1 isr", {"status": 204}),
    Case("length-304", "8.6", "content-length: 3", "content-length: 3|via: 1.1 isr",
         {"status": 304}),
    Case("from-1.0", "7.6.3", "", "via: 1.0 isr", {"version": "1.0"}),
]  # fmt: skip


def fields(text: str) -> Headers:
    """Return the fields that a case writes."""
    parts = [part.partition(": ") for part in text.split("|") if part]
    return [(name.encode(), value.encode()) for name, _, value in parts]


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.id)
def test_request_fields(case: Case) -> None:
    """A request's fields reach cache and upstream as the section says."""
    given = request_fields(fields(case.given), **{**REQUEST, **case.options})
    assert given == fields(case.expected)


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.id)
def test_response_fields(case: Case) -> None:
    """A response's fields reach cache and client as the section says."""
    options = {"name": "isr", "version": "1.1", "status": 200, **case.options}
    assert response_fields(fields(case.given), **options) == fields(case.expected)


@pytest.mark.parametrize(
    ("via", "loop"),
    [
        ("", False),
        ("via: 1.1 isr, 1.1 isr|via: 1.1 isr", False),
        ("via: 1.1 isr, 1.1 isr|via: 1.1 isr, 1.1 isr (x)", True),
        ("via: 1.1 other, 1.1 other, 1.1 other, 1.1 other", False),
    ],
)
def test_loops(via: str, loop: bool) -> None:  # noqa: FBT001  a case
    """Our name four times in `Via` is a loop; three may be tiers."""
    assert loops(fields(via), "isr") is loop


@pytest.mark.parametrize(
    ("value", "hops"), [("0", 0), ("12", 12), ("x", None), ("", None), ("9" * 30, None)]
)
def test_max_forwards(value: str, hops: int | None) -> None:
    """`Max-Forwards` is a number of hops; anything else is ignored."""
    assert max_forwards(fields(f"max-forwards: {value}")) == hops
