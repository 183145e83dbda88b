"""Exit codes of the command, and the errors that lead to them.

0 pass, 1 a budget is broken, 2 wrong usage, 3 no data, 4 the target or a tool failed, 130
interrupted.
"""

PASS = 0
BUDGET = 1
USAGE = 2
NO_DATA = 3
FAILED = 4
INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; its text is one line for the user that says what to do."""

    exit_code = FAILED


class WrongUsageError(CommandError):
    """An argument, an option or the budget file is wrong; nothing was done."""

    exit_code = USAGE


class TargetError(CommandError):
    """A service, a server or a tool (k6) is missing, does not answer, or answered with an error."""


class NoAnswerInTimeError(TargetError):
    """A service was reached, or not, but did not answer within the time limit of the call."""


class InterruptedByUserError(CommandError):
    """The user asked for a stop (Ctrl-C, SIGTERM) before the command was done."""

    exit_code = INTERRUPTED
