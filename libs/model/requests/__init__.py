"""Requests of the gateway to the results service, and their replies."""
