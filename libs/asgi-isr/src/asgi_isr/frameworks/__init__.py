"""Helpers for web frameworks, each importing its own alone."""
