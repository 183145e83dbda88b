"""Deterministic simulation of the coherence protocol on the real engine; see README.md."""
