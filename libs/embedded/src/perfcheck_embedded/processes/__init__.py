"""What a process is, and how a set of them is started, kept running and stopped."""
