"""Kind `dnsbl`: listing of a domain or an address on DNS blacklists. Queries are not implemented yet."""
