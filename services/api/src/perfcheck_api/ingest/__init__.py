"""Bulk loading of reference rates from the European Central Bank's file."""
