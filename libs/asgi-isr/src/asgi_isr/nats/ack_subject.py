"""What the reply subject of a message from JetStream tells about it; pure."""

__all__ = ["NS", "ack_tokens"]

NS = 1_000_000_000  # JetStream counts times in nanoseconds
_SHORT = 9  # tokens without a domain and an account


def ack_tokens(reply: str) -> list[str]:
    """Return deliveries, sequence, consumer sequence, time (ns since 1970), pending, and more.

    `reply` is `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.
    <pending>`, or longer, with a domain and an account before the stream.
    """
    tokens = reply.split(".")
    return tokens[4:] if len(tokens) == _SHORT else tokens[6:]
