"""Checks of the tree: its shape, what may stand in it once only, and that its documents are true.

Run by `make lint`; nothing of it is shipped.
"""
