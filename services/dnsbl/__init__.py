"""Kind `dnsbl`: whether a domain or an address stands on DNS blacklists. They are not asked yet."""
