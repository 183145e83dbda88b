"""The outbox and its relay: events as rows, published to the log in the order of their commits."""
