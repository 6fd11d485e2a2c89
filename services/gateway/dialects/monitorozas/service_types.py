"""Values of `service_type`, and default ports."""

import functools
from urllib.parse import urlsplit

from libs.kinds.registry import kinds
from libs.model.fields.url import DEFAULT_PORTS

WEB = "web"
PING = "ping"
# Services without a default port.
PORT_REQUIRED = {"tcp": {}, "tls": {"tls": True}}

ALIASES = {
    "postgres": "postgresql",
    "pgsql": "postgresql",
    "mongo": "mongodb",
    "smtp-submission": "submission",
    "xmpp-client": "xmpp",
}


@functools.cache
def service_types() -> dict[str, str]:
    """Returns the accepted service names, including aliases, and the name in kind `port` for each.

    Without `udp`: no response is no evidence where the protocol is unknown.
    """
    known = [
        WEB,
        PING,
        *PORT_REQUIRED,
        *(name for name in kinds()["port"].schemes if name not in ("tcp", "udp", "tls")),
    ]
    return {name: name for name in known} | {alias: name for alias, name in ALIASES.items() if name in known}


@functools.cache
def default_port(service: str) -> int:
    """Returns the default port of the service in kind `port`."""
    return urlsplit(kinds()["port"].from_url(f"{service}://localhost").target).port or 0


def scheme_and_port(scheme: str | None, port: int | None, otherwise: str) -> tuple[str, int]:
    """Completes a scheme from its port, or a port from its scheme."""
    by_port = {number: name for name, number in DEFAULT_PORTS.items()}
    known = scheme or (by_port.get(port, otherwise) if port else otherwise)
    return known, port or DEFAULT_PORTS[known]
