"""The native API, /api/v2."""
