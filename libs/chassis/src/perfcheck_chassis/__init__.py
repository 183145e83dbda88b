"""What every service needs once: settings, logs, identity, HTTP, and the life of a process.

Import from the modules and rooms of this package: each costs what it needs, so that a command which
only wants settings and logs does not pay for Litestar and Granian (half a second of CPU).
"""
