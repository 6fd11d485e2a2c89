"""What of a request is secret, and who gets to see it. Pure."""

from collections.abc import Iterable
from typing import Any

from libs.model.fields.url import Url
from services.http.options.headers import BasicAuth, HeaderValue, header_lines, is_secret_name

# What decides, beside the URL, who gets to see the secrets: with what each is when nothing is said.
ROUTE_DEFAULTS: dict[str, Any] = {
    "server_name": None,
    "resolve_to": None,
    "tls_verify": True,
    "tls_findings": "down",
    "proxy": None,
}


def secret_recipient(location: Url, headers: dict[str, HeaderValue], ways: Iterable[tuple[str, Any]]) -> str:
    """Returns the origin of `location`, and those of the `ways` to it that are not the usual ones."""
    unusual = [f"{name}={value}" for name, value in ways if value != ROUTE_DEFAULTS[name]]
    hosts = [f"host={value}" for name, value in header_lines(headers) if name.lower() == "host"]
    return " ".join([f"{location.scheme}://{location.authority}", *unusual, *hosts])


def secret_values(sent_headers: Iterable[tuple[str, str]], basic_auth: BasicAuth | None) -> frozenset[str]:
    """Returns what must not be shown even when a server says it back."""
    values = [value for name, value in sent_headers if is_secret_name(name)]
    words = {value.partition(" ")[2] for value in values if value.lower().startswith(("basic ", "bearer "))}
    password = {basic_auth.password} if basic_auth is not None else set[str]()
    return frozenset({*values, *words, *password} - {""})
