"""Ingest: batches of results become rows, states, incidents and events."""
