"""PostgreSQL, Valkey and NATS out of wheels: settings, data, permissions, readiness."""
