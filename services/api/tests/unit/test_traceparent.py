import pytest
from perfcheck_api.outbox.model import traceparent_from

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", [GOOD, GOOD[:-2] + "00", "cc" + GOOD[2:]])
def test_a_traceparent_is_passed_on_as_it_came(text: str) -> None:
    """Any version of the known form, sampled or not."""
    assert traceparent_from(text) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        GOOD.upper(),
        "ff" + GOOD[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        GOOD + "-more",
        GOOD + "\n",
        GOOD + "\r\nNats-Msg-Id: x",
        GOOD[:-1],
    ],
)
def test_what_is_no_traceparent_is_left_out(text: str | None) -> None:
    """A header of another form is ignored (W3C Trace Context): it breaks no write, no message."""
    assert traceparent_from(text) is None
