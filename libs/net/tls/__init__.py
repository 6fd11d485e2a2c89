"""TLS sessions, certificates and what is wrong with them."""
