"""Tokens that no service may accept, each by what is wrong with it."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from perfcheck_contracts import TOKEN_LIFETIME_S_MAX, key_id

__all__ = ["Holder", "forged"]

UNAUTHORIZED, FORBIDDEN = 401, 403
_KEY_IDS: tuple[object, ...] = (
    "", "unknown", "../../dev/null", "' OR 1=1 --", "\x00", "*", 7, None, [], {},
)  # fmt: skip


class Holder(NamedTuple):
    """Where a token shall be good, and the key that would make it so."""

    key: str
    audience: str
    scope: str
    now_s: int

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token, changed; None leaves one out."""
        found = {
            "iss": "thief",
            "sub": "thief",
            "aud": self.audience,
            "iat": self.now_s,
            "exp": self.now_s + 60,
            "scope": self.scope,
        }
        return {name: value for name, value in (found | changes).items() if value is not None}

    def signed(
        self,
        claims: object,
        *,
        header: Mapping[str, Any] | None = None,
        key: str | None = None,
        digest: str = "sha256",
    ) -> str:
        """Return `claims` with a signature by `key`, the right one unless another is given."""
        head = {"alg": "HS256", "typ": "JWT", "kid": key_id(self.key.encode())} | dict(header or {})
        text = f"{_encoded(head)}.{_encoded(claims)}"
        by = (self.key if key is None else key).encode()
        return f"{text}.{_base64(hmac.new(by, text.encode(), digest).digest())}"

    def good(self) -> str:
        """Return a token that is accepted."""
        return self.signed(self.claims())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encoded(part: object) -> str:
    return _base64(part if isinstance(part, bytes) else json.dumps(part).encode())


def forged(holder: Holder) -> Iterator[tuple[str, str, int]]:
    """Yield name, token and the status that refuses it."""
    for kinds in (_algorithms, _keys, _headers, _claims, _forms):
        yield from ((name, token, UNAUTHORIZED) for name, token in kinds(holder).items())
    yield from ((name, token, FORBIDDEN) for name, token in _scopes(holder).items())


def _algorithms(holder: Holder) -> dict[str, str]:
    found = {}
    claims = _encoded(holder.claims())
    for name in ("none", "None", "NONE", "nOnE", "", "HS384", "RS256", "ES256", "EdDSA"):
        head = _encoded({"alg": name, "typ": "JWT", "kid": key_id(holder.key.encode())})
        found[f"algorithm {name!r} without a signature"] = f"{head}.{claims}."
        found[f"algorithm {name!r} with the right key"] = holder.signed(
            holder.claims(), header={"alg": name}
        )
    for digest, name in (("sha384", "HS384"), ("sha512", "HS512")):
        found[f"{name}, rightly signed"] = holder.signed(
            holder.claims(), header={"alg": name}, digest=digest
        )
    for value in (["HS256"], 256, None, {"HS256": 1}, "hs256"):
        found[f"algorithm {value!r}"] = holder.signed(holder.claims(), header={"alg": value})
    return found


def _keys(holder: Holder) -> dict[str, str]:
    claims, other = holder.claims(), "another key of more than 32 bytes"
    kid = key_id(holder.key.encode())
    return {
        "another key under our name": holder.signed(claims, key=other),
        "another key under its name": holder.signed(
            claims, key=other, header={"kid": key_id(other.encode())}
        ),
        "an empty key": holder.signed(claims, key=""),
        "an empty key under its name": holder.signed(claims, key="", header={"kid": key_id(b"")}),
        "the key's name as key": holder.signed(claims, key=kid),
        "our key in other case": holder.signed(claims, key=holder.key.swapcase()),
        "half of our key": holder.signed(claims, key=holder.key[: len(holder.key) // 2]),
    }


def _headers(holder: Holder) -> dict[str, str]:
    other = "another key of more than 32 bytes"
    found = {
        f"key id {kid!r}": holder.signed(holder.claims(), key=other, header={"kid": kid})
        for kid in _KEY_IDS
    }
    jwk = {"kty": "oct", "k": _base64(other.encode())}
    for header in (
        {"jwk": jwk},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/cert"},
        {"x5c": ["MII"]},
    ):
        found[f"a key brought along: {next(iter(header))}"] = holder.signed(
            holder.claims(), key=other, header=header
        )
    found["an extension that must be known"] = holder.signed(
        holder.claims(), header={"crit": ["x"], "x": 1}
    )
    return found


def _claims(holder: Holder) -> dict[str, str]:
    others = {"api", "frontend-bff", "revalidator"} - {holder.audience}
    now = holder.now_s
    wrong: list[dict[str, Any]] = [
        *({"aud": each} for each in sorted(others)),
        {"aud": sorted(others)},
        {"aud": f"{holder.audience}2"},
        {"aud": "*"},
        {"aud": 7},
        {"aud": None},
        {"exp": now - 3600, "iat": now - 3660},
        {"exp": now - 60},
        {"iat": now + 600, "exp": now + 660},
        {"exp": now + TOKEN_LIFETIME_S_MAX + 60},
        {"iat": now - 10 * TOKEN_LIFETIME_S_MAX},
        {"iat": 0, "exp": 1 << 60},
        {"exp": str(now + 60)},
        {"iat": str(now)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": float("nan")},
        {"exp": [now + 60]},
        {"exp": None},
        {"iat": None},
        {"nbf": now + 3600},
        {"nbf": "never"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": {"name": "thief"}},
    ]
    return {f"claims {changes}": holder.signed(holder.claims(**changes)) for changes in wrong}


def _scopes(holder: Holder) -> dict[str, str]:
    own = holder.scope
    kinds: tuple[object, ...] = (
        None, "", "*", own.upper(), f"{own}2", own[:-1], f"{own},{own}", f'"{own}"', [own],
        {own: 1}, True, "consistency",
    )  # fmt: skip
    return {f"scope {scope!r}": holder.signed(holder.claims(scope=scope)) for scope in kinds}


def _forms(holder: Holder) -> dict[str, str]:
    good = holder.good()
    head, claims, signature = good.split(".")
    weak = holder.signed(holder.claims(scope="x"))
    return {
        "nothing": "",
        "dots": "..",
        "two parts": f"{head}.{claims}",
        "no signature": f"{head}.{claims}.",
        "a signature cut short": good[:-4],
        "the signature of another": f"{head}.{claims}.{weak.rpartition('.')[2]}",
        "changed claims": f"{head}.{_encoded(holder.claims(sub='admin'))}.{signature}",
        "one part more": f"{good}.{signature}",
        "five parts": f"{head}..{claims}.{signature}.{signature}",
        "two tokens": f"{good} {good}",
        "a list": f"{good},{good}",
        "claims that are a list": holder.signed([holder.claims()]),
        "claims that are a word": holder.signed("admin"),
        "claims that are no JSON": holder.signed(b"{"),
        "claims that are no text": holder.signed(b"\xff\xfe"),
        "deep claims": holder.signed(b"[" * 2000),
        "a header that is no object": f"{_encoded([])}.{claims}.{signature}",
        "a token in a token": holder.signed(good),
        "other letters": "ä.ö.ü",
    }
