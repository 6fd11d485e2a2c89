"""Encryption of secrets: AES-GCM with key rotation."""
