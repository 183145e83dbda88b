"""Pages that are rendered before somebody asks."""
