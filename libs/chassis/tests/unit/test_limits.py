from perfcheck_chassis import limits


def test_limits_fit_together() -> None:
    """Clients close idle connections before the load balancer (50 s), and it before the server."""
    assert limits.CLIENT_IDLE_S < 50 < limits.SERVER_IDLE_S
    assert limits.REQUEST_S < limits.WORKER_STOP_S
