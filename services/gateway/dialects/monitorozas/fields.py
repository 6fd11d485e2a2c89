"""Lenient access to the fields of a JSON body. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from services.gateway.dialects.monitorozas.envelope import InvalidFieldError, invalid_field
from services.gateway.web.strict_body import decode

ID_DIGITS_MAX = 18

_ID = re.compile(rf"0*([1-9][0-9]{{0,{ID_DIGITS_MAX - 1}}})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BodyFields:
    """The fields of one JSON object. Absent, null and "" are None; unknown fields are ignored."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in given.items() if value is not None and value != ""}

    @classmethod
    def from_json(cls, body: bytes) -> "BodyFields":
        return cls(decode(body, dict[str, Any]))

    def text(self, name: str, length_max: int = 255) -> str | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > length_max or _CONTROL.search(value):
            raise invalid_field(name, f"must be a text of at most {length_max} characters, without control characters")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Returns one of the `allowed` values, in lower case."""
        text = self.text(name)
        if text is not None and text.lower() not in allowed:
            raise invalid_field(name, f"must be one of {', '.join(allowed)}")
        return text and text.lower()

    def integer(self, name: str, least: int, most: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            raise invalid_field(name, f"must be an integer from {least} to {most}")
        return value

    def bool01(self, name: str, default: int = 0) -> int:
        """Returns 0 or 1; false and true are accepted."""
        given = self.bool01_or_none(name)
        return default if given is None else given

    def bool01_or_none(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) not in (bool, int) or value not in (0, 1):
            raise invalid_field(name, "must be 0 or 1, or false or true")
        return int(value)

    def required(self, name: str) -> str:
        """Returns a text that must be present."""
        text = self.text(name)
        if text is None:
            raise InvalidFieldError(f"missing_{name}", f"{name} is required.")
        return text


def parse_id(given: list[str]) -> int:
    """Parses the query parameter `id`, which must be `given` exactly once."""
    found = _ID.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise InvalidFieldError("invalid_id", "Give one id, a positive integer, as in ?id=31.")
    return int(found[1])
