"""Names that more than one file of this dialect needs."""

PREFIX = "/api/v1"
DIALECT = "monitorozas"

# The sorts of assets; clients meet them as `duplicate_device`, `unknown_blacklist_monitor`.
DEVICE = "device"
BLACKLIST_MONITOR = "blacklist_monitor"
