"""Invalidations over HTTP, and the receipts that say what became of each."""
