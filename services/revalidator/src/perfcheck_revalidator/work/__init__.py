"""The work on events: taken from the log, done, told in receipts, or kept as dead letters."""
