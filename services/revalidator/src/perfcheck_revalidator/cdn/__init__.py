"""CDNs in front of the page cache: one port, and what speaks to real ones."""
