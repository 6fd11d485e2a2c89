"""NATS users, permissions, nkeys, the auth callout, and closing of client connections."""
