"""Connections, transactions, locks, migrations and the outbox."""
