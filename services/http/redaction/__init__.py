"""Redaction of secrets, and excerpts of responses as evidence."""
