"""Webhook signatures as Standard Webhooks 1.0 defines them (standardwebhooks.com).

The sender signs `{id}.{timestamp}.{body}` with HMAC-SHA256. Two secrets may be valid at once, so
that one is changed without a moment in which good calls are refused. Pure: `now` is an argument.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from perfcheck_chassis.secret import Secret

__all__ = ["WINDOW_S", "SignatureError", "WebhookSecrets"]

WINDOW_S = 300  # how far a timestamp may be off, either way
ID_CHARS_MAX = 255
SIGNATURES_MAX = 16
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64

_WHSEC = "whsec_"  # the prefix of a secret
_VERSION = "v1,"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_WEBHOOK_ID = re.compile(r"[!-~]+", re.ASCII)


class SignatureError(Exception):
    """The call is not accepted; the text says why and is safe to show."""


class WebhookSecrets:
    """Verifies with each of `secrets`; None and empty ones do not count, without any all fails.

    Raises:
        ValueError: a secret is not `whsec_` and base64 of 24 to 64 bytes.

    """

    def __init__(self, *secrets: Secret | None) -> None:
        self._keys = [_key(secret.reveal()) for secret in secrets if secret and secret.reveal()]

    def verify(self, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
        """Return the call's `webhook-id`; `now` in seconds since 1970.

        Raises:
            SignatureError: a header is missing or malformed, the call is too old or of the future,
                or no signature of it was made with one of the secrets.

        """
        if not self._keys:
            raise SignatureError(
                "webhooks are not accepted: no secret is configured (PERFCHECK_WEBHOOK_SECRET)"
            )
        identity = _header(headers, "webhook-id")
        if len(identity) > ID_CHARS_MAX or not _WEBHOOK_ID.fullmatch(identity):
            raise SignatureError(
                f"webhook-id: expected at most {ID_CHARS_MAX} visible ASCII characters"
            )
        timestamp = _header(headers, "webhook-timestamp")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise SignatureError("webhook-timestamp: expected whole seconds since 1970")
        signatures = _header(headers, "webhook-signature").split()
        if len(signatures) > SIGNATURES_MAX:
            raise SignatureError(f"webhook-signature: more than {SIGNATURES_MAX} signatures")
        if not self._signed(f"{identity}.{timestamp}.".encode() + body, signatures):
            raise SignatureError(
                "webhook-signature: no signature is valid; sign `{id}.{timestamp}.{body}` with"
                " HMAC-SHA256 and send `v1,<base64>`"
            )
        if abs(now - int(timestamp)) > WINDOW_S:
            raise SignatureError(
                f"webhook-timestamp: is off by more than {WINDOW_S} s; sign each attempt again"
            )
        return identity

    def _signed(self, content: bytes, signatures: list[str]) -> bool:
        given = [
            text.removeprefix(_VERSION).encode() for text in signatures if text.startswith(_VERSION)
        ]
        found = False
        for key in self._keys:
            expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256))
            for signature in given:
                found |= hmac.compare_digest(expected, signature)
        return found


def _header(headers: Mapping[str, str], name: str) -> str:
    text = headers.get(name, "")
    if not text:
        raise SignatureError(f"{name}: is missing")
    return text


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_WHSEC), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_WHSEC) or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"PERFCHECK_WEBHOOK_SECRET: expected {_WHSEC} and base64 of {SECRET_BYTES_MIN} to"
            f" {SECRET_BYTES_MAX} random bytes"
        )
    return key
