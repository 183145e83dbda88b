"""Invalidations and what became of them: the commands, and how receipts look."""
