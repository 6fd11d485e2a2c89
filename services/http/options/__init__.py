"""Option types of the kind."""
