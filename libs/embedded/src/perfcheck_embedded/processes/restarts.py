"""How often and how soon a process that died is started again (pure: it is given `now`)."""

from dataclasses import dataclass

from asgi_isr.backoff import wait_s


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """Bounds of restarting one process; times in seconds.

    A process that was ready for at least `steady_s` before it died starts with a clean slate.
    After `quick_restarts_max` restarts without reaching that, it is given up.
    """

    quick_restarts_max: int = 5
    steady_s: float = 10.0
    delay_first_s: float = 0.1
    delay_max_s: float = 3.0


class RestartBudget:
    """Counts quick restarts of one process and says how long to wait before the next."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._quick = 0
        self._ready_at: float | None = None

    def became_ready(self, now: float) -> None:
        """Note that the process answers since `now` (monotonic seconds)."""
        self._ready_at = now

    def died(self, now: float) -> float | None:
        """Return the seconds to wait before the next start, or None to give up."""
        policy = self._policy
        if self._ready_at is not None and now - self._ready_at >= policy.steady_s:
            self._quick = 0
        self._ready_at = None
        if self._quick >= policy.quick_restarts_max:
            return None
        self._quick += 1
        return wait_s(  # without jitter: nobody else restarts at the same moment
            self._quick, first_s=policy.delay_first_s, max_s=policy.delay_max_s, drawn=1.0
        )
