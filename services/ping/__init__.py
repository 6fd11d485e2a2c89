"""Kind `ping`: ICMP echo requests to one host, judged by loss, round-trip time and jitter."""
