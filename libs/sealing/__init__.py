"""Sealing of secrets: AES-GCM, with keys that can be replaced."""
