"""Version of the product; equal to the one in pyproject.toml."""

VERSION = "0.1.0"
