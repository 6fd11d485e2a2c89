"""What probes share on the network: one resolver, one connection to one address, TLS whose facts survive failure."""
