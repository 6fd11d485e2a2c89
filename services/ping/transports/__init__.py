"""ICMP transports: raw sockets and datagram sockets."""
