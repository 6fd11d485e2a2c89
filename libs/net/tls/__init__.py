"""TLS connections, certificates and their findings."""
