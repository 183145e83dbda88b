"""A value that must not reach a log, a traceback or a health page by accident."""

__all__ = ["Secret"]


class Secret:
    """A string that shows as `***` wherever it is printed; `reveal` gives the text itself.

    Not a subclass of `str`, since formatting one would show it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; call it only where the text is handed to its consumer."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)
