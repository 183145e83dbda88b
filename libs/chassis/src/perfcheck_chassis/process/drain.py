"""The one fact that the server tells the application of its process: that it is about to stop.

It belongs to the process as a signal does, so it is a module's state: `server` sets it, `health`
reads it.
"""

import threading

__all__ = ["draining"]

draining = threading.Event()
