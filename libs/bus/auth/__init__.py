"""Users, permissions, keys and the auth callout of NATS."""
