"""Strict query parameters: unknown and repeated parameters are refused."""

import functools
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.params import ParameterKwarg, QueryParameter

from libs.model.requests.errors import ErrorCode, RequestError


def public_name(handler: BaseRouteHandler, name: str) -> str:
    """Returns the external name of the handler parameter `name`."""
    head, dot, rest = name.partition(".")
    field = handler.parsed_fn_signature.parameters.get(head)
    definition = field.kwarg_definition if field else None
    alias = definition.name if isinstance(definition, ParameterKwarg) else None
    return f"{alias or head}{dot}{rest}"


def reject_unknown_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard that refuses unknown query parameters, and repeated ones that take a single value."""
    if not connection.scope["query_string"]:
        return
    many_by_name = _query_parameters(handler)
    for name in connection.query_params:
        if name not in many_by_name:
            allowed = ", ".join(many_by_name) or "none"
            raise RequestError(ErrorCode.INVALID, f"is not a parameter here; allowed: {allowed}", name[:100])
        if not many_by_name[name] and len(connection.query_params.getall(name)) > 1:
            raise RequestError(ErrorCode.INVALID, "may be given once only", name)


@functools.cache
def _query_parameters(handler: BaseRouteHandler) -> dict[str, bool]:
    """Returns the external names of the handler's query parameters, and whether each may be repeated."""
    return {
        field.kwarg_definition.name or name: any(inner.is_non_string_sequence for inner in (field, *field.inner_types))
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }
