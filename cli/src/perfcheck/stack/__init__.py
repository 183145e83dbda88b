"""The system as processes: up, what runs, its tokens, its one-shots, its health."""
