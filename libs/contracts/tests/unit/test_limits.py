"""Who waits inside gives up before who waits around it."""

from itertools import pairwise

from perfcheck_contracts import limits


def test_each_part_gives_up_before_the_one_around_it() -> None:
    """A wait < its request < the stop of a worker < the supervisor's kill < the task's."""
    inside_out = [
        limits.WAIT_S,
        limits.WAIT_S_MAX,
        limits.REQUEST_S,
        limits.WORKER_STOP_S,
        limits.SUPERVISOR_KILL_S,
        limits.TASK_STOP_S_MAX,
    ]
    assert all(inner < outer for inner, outer in pairwise(inside_out))
    assert limits.WARM_S_MAX < limits.REQUEST_S


def test_idle_connections_are_closed_by_who_sends_next() -> None:
    """Clients close idle connections before the load balancer, and it before the server."""
    assert limits.CLIENT_IDLE_S < limits.LOAD_BALANCER_IDLE_S < limits.SERVER_IDLE_S
