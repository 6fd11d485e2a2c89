"""Redaction of secrets in evidence."""
