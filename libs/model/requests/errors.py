"""Errors of requests between services. Each API renders them in its own error format."""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    """The closed list of refusals."""

    INVALID = "invalid"  # the field's value is not allowed
    NOT_FOUND = "not_found"  # no such thing in this tenant
    CONFLICT = "conflict"  # another state of things stands in the way
    QUOTA = "quota"  # the tenant has all that it may have
    SCHEMA_OUTDATED = "unprepared"  # the database lacks a table or column that this version needs
    UNAVAILABLE = "unavailable"  # a room or its database does not answer at the moment


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refusal: `detail` is a sentence for people, `field` the dotted path of the offending field."""

    code: ErrorCode
    detail: str
    field: str | None = None


class RequestError(Exception):
    """A request was refused; `refusal` says why."""

    def __init__(self, code: ErrorCode, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.info = ErrorInfo(code=code, detail=detail, field=field)
