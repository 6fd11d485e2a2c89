"""Proxy option and its credentials. Proxies are never taken from the environment."""

import base64
from typing import NamedTuple

import msgspec

from libs.model.fields.url import parse_authority

PROXY_SCHEMES = ("http", "socks5", "socks5h")
_URL_FORMS = "http://host:port, socks5://host:port or socks5h://host:port"


class Proxy(NamedTuple):
    """One proxy. `host` is an A-label name or a bare IP literal, as in a Url."""

    scheme: str
    host: str
    port: int
    is_address: bool

    @property
    def authority(self) -> str:
        return format_authority(self.host, self.port)

    @property
    def resolves_names(self) -> bool:
        """Tells whether names of targets are looked up by the proxy (curl's word for it is socks5h)."""
        return self.scheme != "socks5"


class ProxyCredentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a proxy knows us by."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"

    @property
    def basic_auth(self) -> str:
        """Returns the value of Proxy-Authorization (RFC 7617), in UTF-8."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


def format_authority(host: str, port: int) -> str:
    """Returns host:port, with brackets around an IPv6 address (RFC 9110 section 4.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_proxy(text: str) -> Proxy:
    """Returns the proxy that `text` names; a ValueError says what is allowed, and never repeats what was given."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in PROXY_SCHEMES:
        raise ValueError(f"must be {_URL_FORMS}")
    if "@" in rest:
        raise ValueError("must not hold credentials: they have an option of their own")
    host, port, is_address = parse_authority(rest.removesuffix("/"))
    if port is None:
        raise ValueError(f"must name its port: {_URL_FORMS}")
    return Proxy(scheme.lower(), host, port, is_address)
