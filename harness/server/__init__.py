"""The embedded PostgreSQL 17: made, started, found again and stopped."""
