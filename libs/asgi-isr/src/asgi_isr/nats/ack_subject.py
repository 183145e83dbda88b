"""What the reply subject of a message from JetStream tells about it; pure."""

from collections.abc import Sequence

__all__ = ["ACK_PREFIX", "NS", "ack_offset"]

ACK_PREFIX = "$JS.ACK."
NS = 1_000_000_000  # JetStream counts times in nanoseconds
_SHORT = 9  # tokens without a domain and an account


def ack_offset(tokens: Sequence[str]) -> int:
    """Return which of the `tokens` of a reply subject says how often the message was delivered.

    Behind it follow the sequence, the consumer's own sequence, the time (ns since 1970), and how
    many messages are pending. The subject is `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.
    <consumer sequence>.<time>.<pending>`, or longer, with a domain and an account before the
    stream.
    """
    return 4 if len(tokens) == _SHORT else 6
