"""Which pages the app lately refused to have stored: nobody should wait for a render of theirs."""

from asgi_isr.http.policy import ERROR_STATUS

UNSTORABLE_MAX = 10_000
UNSTORABLE_S = 1.0


class UnstorableKeys:
    """Keys of such pages, each for `UNSTORABLE_S` seconds, at most `UNSTORABLE_MAX` of them."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, key: str, status: int, *, now: float) -> None:
        """Remember that a response with this status was not to be stored."""
        if status in ERROR_STATUS:
            return  # what fails now may be storable at the next try
        if len(self._until) >= UNSTORABLE_MAX:
            self._until.clear()
        self._until[key] = now + UNSTORABLE_S

    def holds(self, key: str, *, now: float) -> bool:
        """Say whether `key` is remembered now."""
        until = self._until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[key]
        return False
