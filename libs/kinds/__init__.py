"""Registry of the kinds of monitors."""
