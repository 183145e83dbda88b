"""Benchmarks of the whole system, on real servers and processes."""
