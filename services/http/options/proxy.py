"""The proxy as an option, and what cannot be meant beside it. Pure."""

import re
from collections.abc import Iterable

from libs.model.fields.address_family import AddressFamily
from libs.model.fields.proxy import Proxy, ProxyCredentials, parse_proxy
from libs.model.fields.url import Url

_LENGTH_MAX = 4096
# One byte holds the length of each (RFC 1929).
_SOCKS_BYTES_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parse_proxy_option(text: str) -> Proxy:
    """Returns the proxy that the option names; the ValueError starts with the option's name."""
    try:
        return parse_proxy(text)
    except ValueError as error:
        raise ValueError(f"proxy {error}") from None


def check_proxy_route(proxy: Proxy, family: AddressFamily, resolve_to: str | None) -> None:
    """Refuses what only this prober could hold to, where the proxy finds the way."""
    if family == "both":
        raise ValueError("family both cannot be told apart through a proxy: take 4 or 6, with socks5://")
    if family != "any" and proxy.resolves_names:
        raise ValueError(f"family must be any with a proxy of {proxy.scheme}://, which looks names up: take socks5://")
    if resolve_to is not None and proxy.scheme == "http":
        raise ValueError("resolve_to needs a proxy of socks5:// or socks5h://: an HTTP proxy goes by the name")


def check_proxy_headers(proxy: Proxy, headers: Iterable[str], url: Url) -> None:
    names = {name.lower() for name in headers}
    if "proxy-authorization" in names:
        raise ValueError("headers must not name Proxy-Authorization beside a proxy: use proxy_auth")
    if "host" in names and (proxy.scheme, url.scheme) == ("http", "http"):
        raise ValueError("headers must not name Host: an HTTP proxy replaces it by the host of the url (RFC 9112)")


def check_proxy_auth(proxy: Proxy | None, credentials: ProxyCredentials) -> None:
    """Raises ValueError if these can never be sent. What is wrong is told without what it is."""
    if proxy is None:
        raise ValueError("proxy_auth needs a proxy")
    both = (credentials.username, credentials.password)
    if proxy.scheme == "http":
        if max(map(len, both)) > _LENGTH_MAX:
            raise ValueError(f"proxy_auth must have at most {_LENGTH_MAX} characters each")
        if ":" in credentials.username or _CONTROL.search("".join(both)):
            raise ValueError("proxy_auth must not have control characters, nor a colon in the username")
    elif not all(1 <= len(part.encode()) <= _SOCKS_BYTES_MAX for part in both):
        raise ValueError(f"proxy_auth must have 1 to {_SOCKS_BYTES_MAX} bytes each with SOCKS5 (RFC 1929)")


def proxy_secrets(credentials: ProxyCredentials | None) -> set[str]:
    """Returns what must not be shown: the password, and the header that holds it, whole and in part."""
    if credentials is None:
        return set()
    return {credentials.password, credentials.basic_auth, credentials.basic_auth.partition(" ")[2]}
