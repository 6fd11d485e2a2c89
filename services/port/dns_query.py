"""Record types and name validation of DNS queries. Pure."""

# RFC 1035 section 3.2.2, RFC 3596, RFC 2782, RFC 4034, RFC 8659.
QUERY_TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "DS": 43,
    "DNSKEY": 48,
    "CAA": 257,
}


def check_query_name(name: str) -> None:
    """Raises ValueError unless `name` can be queried: ASCII labels of 1 to 63 bytes, 253 in all, or "." (the root)."""
    if name == ".":
        return
    labels = name.removesuffix(".").split(".")
    bad = not name.isascii() or len(name) > 253 or any(not 1 <= len(label) <= 63 for label in labels)
    if bad or not name.isprintable() or " " in name:
        raise ValueError('query_name must be a name of ASCII labels, 1 to 63 bytes each, 253 in all, or "."')
