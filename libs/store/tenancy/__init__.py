"""Tenants, keys, audit log, rate limits and idempotency keys."""
