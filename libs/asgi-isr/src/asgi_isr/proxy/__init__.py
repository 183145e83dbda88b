"""The page cache as a reverse proxy before any HTTP service: `asgi-isr proxy --upstream URL`."""
