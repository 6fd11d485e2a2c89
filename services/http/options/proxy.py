"""Options `proxy` and `proxy_auth`, and the options that cannot be combined with them. Pure."""

import re
from collections.abc import Iterable

from libs.model.fields.address_family import AddressFamily
from libs.model.fields.proxy import Proxy, ProxyCredentials, parse_proxy
from libs.model.fields.url import Url

_LENGTH_MAX = 4096
# The length is one byte each (RFC 1929).
_SOCKS_BYTES_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parse_proxy_option(text: str) -> Proxy:
    """Returns the parsed option; the message of a ValueError starts with the option's name."""
    try:
        return parse_proxy(text)
    except ValueError as error:
        raise ValueError(f"proxy {error}") from None


def check_proxy_route(proxy: Proxy, family: AddressFamily, resolve_to: str | None) -> None:
    """Raises ValueError for options that have no effect if the proxy resolves the name."""
    if family == "both":
        raise ValueError("family both cannot be combined with a proxy: use 4 or 6, with socks5://")
    if family != "any" and proxy.resolves_names:
        raise ValueError(f"family must be any with a proxy of {proxy.scheme}://, which resolves names: use socks5://")
    if resolve_to is not None and proxy.scheme == "http":
        raise ValueError("resolve_to needs a proxy of socks5:// or socks5h://: an HTTP proxy connects by name")


def check_proxy_headers(proxy: Proxy, headers: Iterable[str], url: Url) -> None:
    names = {name.lower() for name in headers}
    if "proxy-authorization" in names:
        raise ValueError("headers must not name Proxy-Authorization beside a proxy: use proxy_auth")
    if "host" in names and (proxy.scheme, url.scheme) == ("http", "http"):
        raise ValueError("headers must not name Host: an HTTP proxy replaces it by the host of the url (RFC 9112)")


def check_proxy_auth(proxy: Proxy | None, credentials: ProxyCredentials) -> None:
    """Raises ValueError if the credentials can never be sent. The message does not contain the values."""
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
    """Returns the values to redact: the password, and the Proxy-Authorization value, whole and without its scheme."""
    if credentials is None:
        return set()
    return {credentials.password, credentials.basic_auth, credentials.basic_auth.partition(" ")[2]}
