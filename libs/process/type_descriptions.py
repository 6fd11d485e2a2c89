"""Descriptions of annotated types for error messages and the table of settings."""

from typing import Any

from msgspec import inspect

_NUMBERS = {inspect.IntType: "a whole number", inspect.FloatType: "a number"}


def allowed_values(kind: Any) -> str:
    """Returns a description of the values that the annotated type `kind` allows."""
    info = _without_metadata(inspect.type_info(kind))
    match info:
        case inspect.IntType() | inspect.FloatType():
            return _NUMBERS[type(info)] + _bounds(info.ge, info.le)
        case inspect.LiteralType():
            return "one of " + ", ".join(str(value) for value in info.values)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(pattern=str(pattern)):
            return f"text like {pattern}"
        case inspect.VarTupleType():
            return "a list separated by commas"
        case _:
            return "text"


def description(kind: Any) -> str:
    """Returns the description in the annotation."""
    info = inspect.type_info(kind)
    schema = info.extra_json_schema if isinstance(info, inspect.Metadata) else None
    return str((schema or {})["description"])


def _without_metadata(info: inspect.Type) -> inspect.Type:
    return _without_metadata(info.type) if isinstance(info, inspect.Metadata) else info


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f", at most {high:g}"
    return f", at least {low}" if high is None else f" from {low:g} to {high:g}"
