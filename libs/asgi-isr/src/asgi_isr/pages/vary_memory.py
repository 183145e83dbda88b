"""Which pages vary: remembered longer than the pages, and bounded by bytes, not by number."""

from collections import OrderedDict

BYTES_MAX = 16 * 1024 * 1024
_KEY_BYTES = 200  # of one key besides its characters


class VaryingKeys(OrderedDict[str, tuple[str, ...]]):
    """Keys of pages that vary, with the request fields that select a variant; oldest go first."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def note(self, key: str, names: tuple[str, ...]) -> None:
        """Remember which fields select a page at `key`; none: that it does not vary."""
        if self.pop(key, None) is not None:
            self._bytes -= len(key) + _KEY_BYTES
        if not names:
            return
        self[key] = names
        self._bytes += len(key) + _KEY_BYTES
        while self._bytes > BYTES_MAX:
            oldest, _ = self.popitem(last=False)
            self._bytes -= len(oldest) + _KEY_BYTES

    def clear(self) -> None:
        """Forget every key."""
        super().clear()
        self._bytes = 0
