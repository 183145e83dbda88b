"""What the user sees: data on stdout, progress on stderr, colour only where it is wanted."""

import shutil
import sys

import click


class Console:
    """Two streams and whether they may be coloured (never with NO_COLOR, never into a file)."""

    def __init__(self, *, colour: bool) -> None:
        """Build it; `colour` False switches colour off, True leaves it to the terminal."""
        self.colour: bool | None = None if colour else False

    def data(self, text: str) -> None:
        """Print a result to stdout."""
        click.echo(text, color=self.colour)

    def progress(self, text: str) -> None:
        """Print a line about what is going on to stderr."""
        click.echo(text, err=True, color=self.colour)

    def rewrite(self, text: str) -> None:
        """Replace the last line on stderr on a terminal; elsewhere (a log file) print nothing."""
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1  # a wrapped line cannot be replaced
            click.echo(f"\r\x1b[K{click.unstyle(text)[:width]}", err=True, nl=False)

    def end_rewrite(self) -> None:
        """Leave the line that `rewrite` wrote."""
        if sys.stderr.isatty():
            click.echo("", err=True)
