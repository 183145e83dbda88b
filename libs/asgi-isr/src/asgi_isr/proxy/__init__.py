"""The page cache in front of any HTTP service: `asgi-isr proxy --upstream URL`."""
