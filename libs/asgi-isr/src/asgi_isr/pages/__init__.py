"""Pages as they are kept, in this process and in the shared store."""
