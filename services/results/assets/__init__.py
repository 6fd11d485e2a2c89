"""Request handlers for assets of compatible APIs."""
