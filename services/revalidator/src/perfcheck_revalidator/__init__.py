"""The revalidator: follows the invalidation log and keeps a snapshot of its index in the store."""
