"""What can be asked for as `service_type`, and the ports that go without saying."""

import functools
from urllib.parse import urlsplit

from libs.kinds.registry import kinds
from libs.model.fields.url import DEFAULT_PORTS

WEB = "web"
PING = "ping"
# These say how, but not where: without a port nothing can be dialled.
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
    """Returns every word that is taken for a service, and the one that we have for it.

    UDP alone is none of them: silence proves nothing where nobody knows what would be answered.
    """
    known = [
        WEB,
        PING,
        *PORT_REQUIRED,
        *(name for name in kinds()["port"].schemes if name not in ("tcp", "udp", "tls")),
    ]
    return {name: name for name in known} | {word: name for word, name in ALIASES.items() if name in known}


@functools.cache
def default_port(service: str) -> int:
    """Returns the port that kind `port` dials for this service."""
    return urlsplit(kinds()["port"].from_url(f"{service}://localhost").target).port or 0


def scheme_and_port(scheme: str | None, port: int | None, otherwise: str) -> tuple[str, int]:
    """Returns both of what was given in part: a port tells its scheme, a scheme its port."""
    by_port = {number: name for name, number in DEFAULT_PORTS.items()}
    known = scheme or (by_port.get(port, otherwise) if port else otherwise)
    return known, port or DEFAULT_PORTS[known]
