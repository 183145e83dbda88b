"""The coherence protocol: index, follower, lease, live set. No HTTP, no bytes."""
