"""Network layer of the probes: DNS resolution, single connections, TLS and the egress policy."""
