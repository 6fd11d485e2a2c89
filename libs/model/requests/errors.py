"""Errors of requests between services. Each API renders them in its own error format."""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    """Closed list of error codes."""

    INVALID = "invalid"  # the field's value is not allowed
    NOT_FOUND = "not_found"  # no such object in this tenant
    CONFLICT = "conflict"  # conflicts with the current state of the object
    QUOTA = "quota"  # the tenant's quota is used up
    SCHEMA_OUTDATED = "unprepared"  # the database lacks a table or column that this version needs
    UNAVAILABLE = "unavailable"  # the results service or its database is unavailable


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Error of one request: `detail` is a sentence for people, `field` the dotted path of the invalid field."""

    code: ErrorCode
    detail: str
    field: str | None = None


class RequestError(Exception):
    """A request failed; `info` contains code, detail and field."""

    def __init__(self, code: ErrorCode, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.info = ErrorInfo(code=code, detail=detail, field=field)
