"""`python -m perfcheck_bff`: serve until a signal says stop."""

import sys

from perfcheck_chassis.process import serve
from perfcheck_chassis.settings import SettingsError, environment, load

from perfcheck_bff.settings import Settings


def main() -> int:
    """Check the settings before the server starts, then serve; the result is the exit status."""
    try:
        settings = load(Settings, environment())
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    serve("perfcheck_bff.app:from_environment", settings, Settings.service)
    return 0


if __name__ == "__main__":
    sys.exit(main())
