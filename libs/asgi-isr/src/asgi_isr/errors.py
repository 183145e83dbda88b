"""The errors that asgi-isr raises; each is an `IsrError`."""

__all__ = [
    "AlreadyOpenError",
    "CorruptPageError",
    "InvalidEventError",
    "IsrError",
    "LogGapError",
    "LogUnavailableError",
    "NotCachedError",
    "NotOpenError",
    "RenderTimeoutError",
    "StoreUnavailableError",
]


class IsrError(Exception):
    """Base of every error of this package."""


class InvalidEventError(IsrError, ValueError):
    """An invalidation that must not be published, or a message that cannot be read as one.

    `field` names the offending field (`tags[3]`, `mode`); `reason` says what is wrong and how to
    correct it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class CorruptPageError(IsrError):
    """Bytes in the shared store that are no page of this version; counted and treated as a miss."""


class StoreUnavailableError(IsrError):
    """The shared store did not answer within its time limit, or refused."""


class LogUnavailableError(IsrError):
    """The invalidation log cannot be reached now; the follower tries again."""


class LogGapError(IsrError):
    """The log skipped a sequence that was not seen: what was cached can no longer be judged."""


class NotOpenError(IsrError, RuntimeError):
    """A request or call came to a cache that was never opened, or is closed."""


class AlreadyOpenError(IsrError, RuntimeError):
    """A cache is opened a second time while it is open, or left in another event loop."""


class RenderTimeoutError(IsrError):
    """The app did not finish a response within `render_timeout_s`."""


class NotCachedError(IsrError):
    """A request that is `only-if-cached` found no page (RFC 9111, section 5.2.1.7)."""
