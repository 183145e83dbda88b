"""The live view of this instance's cache."""
