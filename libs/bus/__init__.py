"""NATS access: connection, subjects, streams, schedules, request-reply. The only package that imports nats-py."""
