"""The version of everything here; pyproject.toml says the same."""

VERSION = "0.1.0"
