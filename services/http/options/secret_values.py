"""Secret values of a spec, and the recipient for which they may be unsealed. Pure."""

from collections.abc import Iterable
from typing import Any

from libs.model.fields.url import Url
from services.http.options.headers import BasicAuth, HeaderValue, header_lines, is_secret_name

# Options that, with the URL, determine the recipient of the secrets, and their defaults.
ROUTE_DEFAULTS: dict[str, Any] = {
    "server_name": None,
    "resolve_to": None,
    "tls_verify": True,
    "tls_findings": "down",
    "proxy": None,
}


def secret_recipient(location: Url, headers: dict[str, HeaderValue], options: Iterable[tuple[str, Any]]) -> str:
    """Returns the origin of `location`, with the options among `options` that differ from their defaults."""
    unusual = [f"{name}={value}" for name, value in options if value != ROUTE_DEFAULTS[name]]
    hosts = [f"host={value}" for name, value in header_lines(headers) if name.lower() == "host"]
    return " ".join([f"{location.scheme}://{location.authority}", *unusual, *hosts])


def secret_values(sent_headers: Iterable[tuple[str, str]], basic_auth: BasicAuth | None) -> frozenset[str]:
    """Returns the values to redact even when the server echoes them."""
    values = [value for name, value in sent_headers if is_secret_name(name)]
    credentials = {value.partition(" ")[2] for value in values if value.lower().startswith(("basic ", "bearer "))}
    password = {basic_auth.password} if basic_auth is not None else set[str]()
    return frozenset({*values, *credentials, *password} - {""})
