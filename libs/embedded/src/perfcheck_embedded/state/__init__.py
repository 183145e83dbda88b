"""The state directory: its lock, what runs, logs, secrets."""
