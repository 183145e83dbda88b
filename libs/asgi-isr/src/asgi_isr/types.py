"""What ASGI 3.0 passes between server, cache and app, and header fields as it has them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["App", "Headers", "Message", "Receive", "Scope", "Send"]

Headers = list[tuple[bytes, bytes]]
"""Header fields in their order; names in lower case where ASGI says so."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

App = Callable[[Any, Any, Any], Awaitable[None]]
"""Of scope, receive and send. Frameworks have types of their own for the three, which strict
checkers tell from these."""
