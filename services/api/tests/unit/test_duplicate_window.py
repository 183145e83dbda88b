from asgi_isr.logs.nats.streams import invalidations_spec
from perfcheck_api.outbox.relay import PUBLISH_AGAIN_S_MAX


def test_the_log_knows_an_id_until_the_row_is_tried_again() -> None:
    """The window outlasts the relay's next attempt, and three of them do not fit into it."""
    window_s = invalidations_spec().duplicate_window_s
    assert PUBLISH_AGAIN_S_MAX < window_s < 3 * PUBLISH_AGAIN_S_MAX
