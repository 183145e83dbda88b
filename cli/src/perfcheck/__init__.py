"""The perfcheck command: up, check, invalidate, ingest, replay, status, migrate."""
