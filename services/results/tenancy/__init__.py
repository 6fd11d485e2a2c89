"""Request handlers for tenants, keys, quotas and the audit log."""
