"""Constants of the Monitorozás API."""

PREFIX = "/api/v1"
DIALECT = "monitorozas"

# Asset types; part of error codes such as `duplicate_device` and `unknown_blacklist_monitor`.
DEVICE = "device"
BLACKLIST_MONITOR = "blacklist_monitor"
