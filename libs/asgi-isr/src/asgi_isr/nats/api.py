"""The subjects of JetStream's API, named once."""

from typing import NamedTuple

__all__ = ["API_PREFIX", "Api"]

API_PREFIX = "$JS.API"


class Api(NamedTuple):
    """JetStream's API at `prefix`: another one where it is imported from another account.

    Acknowledgements are no part of it: their subjects begin with `$JS.ACK` everywhere.
    """

    prefix: str = API_PREFIX

    def stream(self, verb: str, name: str) -> str:
        """Return the subject of INFO, CREATE, UPDATE, MSG.GET … of the stream `name`."""
        return f"{self.prefix}.STREAM.{verb}.{name}"

    def direct_get(self, stream: str) -> str:
        """Return where any replica of `stream` answers with its messages."""
        return f"{self.prefix}.DIRECT.GET.{stream}"

    def consumer(self, verb: str, stream: str, name: str) -> str:
        """Return the subject of INFO, DURABLE.CREATE, MSG.NEXT … of a consumer of `stream`."""
        return f"{self.prefix}.CONSUMER.{verb}.{stream}.{name}"
