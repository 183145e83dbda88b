"""Limits that several parts must agree on; a test holds their order.

Whoever waits outermost waits longest, so that each part can still answer, or end, before the one
around it gives up: `WAIT_S_MAX` < `REQUEST_S` < `WORKER_STOP_S` < `SUPERVISOR_KILL_S` <
`TASK_STOP_S_MAX`. What a drain takes (`PERFCHECK_DRAIN_S`) comes on top of the worker's stop: a
task's `stopTimeout` must exceed their sum, so a drain takes `DRAIN_S_MAX` at most.

Idle connections are closed by whoever sends next, so that nobody sends into one that the other side
is just closing: `CLIENT_IDLE_S` < `LOAD_BALANCER_IDLE_S` < `SERVER_IDLE_S`.
"""

__all__ = [
    "CLIENT_IDLE_S",
    "DRAIN_S_MAX",
    "LOAD_BALANCER_IDLE_S",
    "REQUEST_BODY_BYTES_MAX",
    "REQUEST_S",
    "SERVER_IDLE_S",
    "SUPERVISOR_KILL_S",
    "TASK_STOP_S_MAX",
    "WAIT_S",
    "WAIT_S_MAX",
    "WARM_S_MAX",
    "WORKER_STOP_S",
]

CLIENT_IDLE_S = 30
LOAD_BALANCER_IDLE_S = 50
SERVER_IDLE_S = 60

# How long a request may ask to wait until instances have applied an event.
WAIT_S = 5.0  # unless it says otherwise
WAIT_S_MAX = 25.0
WARM_S_MAX = 20.0  # how long a request may ask to render pages
REQUEST_S = 30  # one request, from its first byte to the end of the answer
WORKER_STOP_S = 35  # a worker that was told to stop: requests under way, then the lifespan
SUPERVISOR_KILL_S = 40  # a service under `perfcheck up` that was told to stop
TASK_STOP_S_MAX = 120  # the longest `stopTimeout` that ECS grants on Fargate
DRAIN_S_MAX = TASK_STOP_S_MAX - WORKER_STOP_S - 5  # 5 s for the processes to end

REQUEST_BODY_BYTES_MAX = 65_536
