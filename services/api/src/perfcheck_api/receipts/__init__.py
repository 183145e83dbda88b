"""What became of each invalidation."""
