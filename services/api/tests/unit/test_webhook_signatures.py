import base64
import hashlib
import hmac

import pytest
from perfcheck_api.invalidations.signature import SignatureError, WebhookSecrets
from perfcheck_api.settings import Settings
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import SettingsError, load

NOW = 1_793_375_100.0
BODY = b'{"tags":["x"]}'
# The example of the Standard Webhooks libraries.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  public
OLD, NEW = (Secret(f"whsec_{base64.b64encode(text * 32).decode()}") for text in (b"o", b"n"))


def _signature(secret: Secret, timestamp: int = int(NOW), body: bytes = BODY) -> str:
    key = base64.b64decode(secret.reveal().removeprefix("whsec_"))
    content = f"msg_1.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _headers(signature: str, timestamp: str = str(int(NOW))) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }


def test_the_published_example_is_accepted() -> None:
    """Id, time, body and signature are those in the tests of the standard's own libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secrets = WebhookSecrets(Secret(KNOWN_SECRET))
    body = b'{"test": 2432232314}'
    assert secrets.verify(headers, body, now=1_614_265_330) == headers["webhook-id"]


def test_two_secrets_are_valid_at_once() -> None:
    """While the secret is changed, either signs; also where the sender sends both signatures."""
    both = WebhookSecrets(NEW, OLD)
    for signature in (_signature(OLD), _signature(NEW), f"v1a,xyz {_signature(OLD)}"):
        assert both.verify(_headers(signature), BODY, now=NOW) == "msg_1"
    with pytest.raises(SignatureError, match="no signature is valid"):
        WebhookSecrets(NEW).verify(_headers(_signature(OLD)), BODY, now=NOW)


@pytest.mark.parametrize("off_s", [-301, 301])
def test_the_window_is_five_minutes_either_way(off_s: int) -> None:
    """At its edge a call is accepted, beyond it is refused although well signed."""
    edge = off_s // abs(off_s) * 300
    secrets = WebhookSecrets(NEW)
    at = int(NOW) + edge
    assert secrets.verify(_headers(_signature(NEW, at), str(at)), BODY, now=NOW) == "msg_1"
    at = int(NOW) + off_s
    with pytest.raises(SignatureError, match="webhook-timestamp: is off"):
        secrets.verify(_headers(_signature(NEW, at), str(at)), BODY, now=NOW)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "webhook-id: is missing"),
        ({"webhook-id": "a b"}, "webhook-id: expected"),
        ({"webhook-id": "x" * 256}, "webhook-id: expected"),
        ({"webhook-id": "x"}, "webhook-timestamp: is missing"),
        (_headers("v1,x", "soon"), "whole seconds"),
        (_headers("v1,x", "1" * 13), "whole seconds"),
        (_headers("", "1"), "webhook-signature: is missing"),
        (_headers("v1,x " * 17, "1"), "more than 16"),
        (_headers("v1,x"), "no signature is valid"),
        (_headers(_signature(NEW, body=b"other")), "no signature is valid"),
        (_headers(_signature(NEW).replace("v1,", "v2,")), "no signature is valid"),
        (_headers("v1,é"), "no signature is valid"),
    ],
)
def test_bad_calls_are_refused_with_the_reason(headers: dict[str, str], reason: str) -> None:
    """Whatever is wrong is named; another body's signature fits no more than none."""
    with pytest.raises(SignatureError, match=reason):
        WebhookSecrets(NEW).verify(headers, BODY, now=NOW)


def test_without_a_secret_nothing_is_accepted() -> None:
    """The reason names the setting."""
    for secrets in (WebhookSecrets(), WebhookSecrets(None, Secret(""))):
        with pytest.raises(SignatureError, match="PERFCHECK_WEBHOOK_SECRET"):
            secrets.verify(_headers(_signature(NEW)), BODY, now=NOW)


@pytest.mark.parametrize("text", ["secret", "whsec_", "whsec_!", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_ends_the_start(text: str) -> None:
    """The error names the setting and does not show the secret."""
    environ = {
        "PERFCHECK_DATABASE_URL": "postgresql://db/rates",
        "PERFCHECK_NATS_URL": "nats://nats",
        "PERFCHECK_WEBHOOK_SECRET": text,
    }
    with pytest.raises(SettingsError, match="PERFCHECK_WEBHOOK_SECRET: expected whsec_"):
        load(Settings, environ)
