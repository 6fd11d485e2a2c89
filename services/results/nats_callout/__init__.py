"""Auth callout: tenants connect to NATS with their keys."""
