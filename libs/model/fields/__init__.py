"""Types and validation of option values."""
