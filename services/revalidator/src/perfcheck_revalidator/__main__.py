"""`python -m perfcheck_revalidator`: serve until SIGTERM."""

import sys

from perfcheck_chassis.process import serve
from perfcheck_chassis.settings import SettingsError, environment, load

from perfcheck_revalidator.settings import Settings


def main() -> int:
    """Serve; return the exit status: 0 after an orderly stop, 2 for invalid settings."""
    try:
        settings = load(Settings, environment())
    except SettingsError as error:
        sys.stderr.write(f"{settings_help(error)}\n")
        return 2
    serve("perfcheck_revalidator.app:from_environment", settings, settings.service)
    return 0


def settings_help(error: SettingsError) -> str:
    """Return one line per problem, for who set the variables."""
    return "\n".join(["perfcheck_revalidator cannot start:", *error.problems])


if __name__ == "__main__":
    sys.exit(main())
