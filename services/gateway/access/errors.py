"""Reasons and errors of access control. Each API renders them in its own format."""

from collections.abc import Mapping
from enum import StrEnum

from litestar.exceptions import HTTPException


class AccessDenial(StrEnum):
    """Reasons why access is denied."""

    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"  # unknown, revoked, expired, or several at once
    ADDRESS = "address"  # the key may not be used from there
    RATE = "rate"  # too many requests of this key or tenant
    SCOPE = "scope"  # the key may not do that


HTTP_STATUS = {
    AccessDenial.KEY_MISSING: 401,
    AccessDenial.KEY_INVALID: 401,
    AccessDenial.ADDRESS: 403,
    AccessDenial.RATE: 429,
    AccessDenial.SCOPE: 403,
}


class AccessDeniedError(HTTPException):
    """Access was denied; `detail` is a message for the client."""

    def __init__(self, fault: AccessDenial, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail=detail, status_code=HTTP_STATUS[fault], headers=dict(headers or {}))
        self.denial = fault
