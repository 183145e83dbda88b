"""Leaves the shared store alone for a moment after several failures in a row."""

FAILURES_MAX = 3  # in a row, until the breaker opens
OPEN_S = 1.0


class Breaker:
    """Open after `FAILURES_MAX` failures in a row; then one call a second probes."""

    def __init__(self) -> None:
        self._failures = 0
        self._retry_at = 0.0

    def allows(self, now: float) -> bool:
        """Say whether a call may be tried now; the one that may is the probe."""
        if self._failures < FAILURES_MAX:
            return True
        if now < self._retry_at:
            return False
        self._retry_at = now + OPEN_S
        return True

    def succeeded(self) -> None:
        """Close the breaker."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Count a failure; the last one allowed opens the breaker."""
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._retry_at = now + OPEN_S

    @property
    def is_open(self) -> bool:
        """Whether calls are held back now."""
        return self._failures >= FAILURES_MAX
