"""Time limits that must fit together over services, load balancer and task; the order is tested.

`CLIENT_IDLE_S` < ALB idle (50 s) < `SERVER_IDLE_S`: whoever sends next on an idle connection closes
it first, so that nobody sends into a connection that the other side is just closing.
`REQUEST_S` < `WORKER_STOP_S`: a stopping worker lets requests under way finish.
A task's `stopTimeout` must exceed `PERFCHECK_DRAIN_S` + `WORKER_STOP_S`.
"""

__all__ = ["BODY_BYTES_MAX", "CLIENT_IDLE_S", "REQUEST_S", "SERVER_IDLE_S", "WORKER_STOP_S"]

SERVER_IDLE_S = 60
CLIENT_IDLE_S = 30
REQUEST_S = 30
WORKER_STOP_S = 35
BODY_BYTES_MAX = 65536
