"""nats-server and PostgreSQL as child processes of `vedette up`, which end with it."""
