"""What a cache is made of, as all who work with pages are handed it."""

import msgspec

from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.lease import Lease
from asgi_isr.coherence.rules import Rules
from asgi_isr.counters import Counters
from asgi_isr.pages.local import LocalPages
from asgi_isr.pages.shared import SharedPages
from asgi_isr.ports import Clock
from asgi_isr.settings import CacheSettings


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one instance; `shared` is None where nothing is shared."""

    settings: CacheSettings
    clock: Clock
    counters: Counters
    index: Index
    local: LocalPages
    follower: Follower
    lease: Lease
    rules: Rules
    shared: SharedPages | None
