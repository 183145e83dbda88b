"""Load scenarios for k6, shipped as data; the files live in `k6/` at the root of the repository."""
