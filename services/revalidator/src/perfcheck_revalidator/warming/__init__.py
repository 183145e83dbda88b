"""Rendering popular pages again, before somebody asks."""
