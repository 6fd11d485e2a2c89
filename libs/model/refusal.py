"""Why a request between rooms was not granted. The gateway and each dialect turn it into their own error format."""

from enum import StrEnum

import msgspec


class RefusalCode(StrEnum):
    """The closed list of refusals."""

    INVALID = "invalid"  # the field's value is not allowed
    NOT_FOUND = "not_found"  # no such thing in this tenant
    CONFLICT = "conflict"  # another state of things stands in the way
    QUOTA = "quota"  # the tenant has all that it may have
    UNPREPARED = "unprepared"  # the database lacks a table or column that this version needs
    UNAVAILABLE = "unavailable"  # a room or its database does not answer at the moment


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refusal: `detail` is a sentence for people, `field` the dotted path of the offending field."""

    code: RefusalCode
    detail: str
    field: str | None = None


class RefusedError(Exception):
    """A request was refused; `refusal` says why."""

    def __init__(self, code: RefusalCode, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(code=code, detail=detail, field=field)
