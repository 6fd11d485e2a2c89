"""Header and JSON assertions. Pure; unsatisfiable ones are rejected when the spec is saved."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeGuard

import msgspec

from services.http.options.headers import check_header_name, is_secret_name
from services.http.redaction.redact import quote_excerpt
from services.http.rules.json_path import MISSING, parse_path, value_at
from services.http.rules.patterns import check_patterns, compile_pattern

ASSERTIONS_MAX = 16
VALUE_LENGTH_MAX = 1024

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

JsonScalar = str | int | float | bool | None


class HeaderAssertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Assertion on a header; of repeated header lines one must match."""

    name: str
    op: Literal["present", "absent", "equals", "matches"] = "present"
    value: str | None = None


class JsonAssertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Assertion on the value at a JSON path. Types matter: "1" is not 1, and true is not 1."""

    path: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "contains", "exists"] = "exists"
    value: JsonScalar | msgspec.UnsetType = msgspec.UNSET


def unmet_header(
    rules: Iterable[HeaderAssertion], headers: Sequence[tuple[bytes, bytes]], secrets: Iterable[str]
) -> str | None:
    """Returns a sentence about the first failed assertion, with the actual value; None if all hold."""
    for rule in rules:
        key = rule.name.lower().encode()
        values = [value.strip() for name, value in headers if name.lower() == key]
        if not _header_holds(rule, values):
            return f"The header {rule.name} {_describe_header_rule(rule)}; {_describe_headers(rule.name, values, secrets)}."
    return None


def unmet_json(rules: Iterable[JsonAssertion], body: bytes, secrets: Iterable[str]) -> str | None:
    """Returns a sentence about the first failed assertion, with the actual value; None if all hold."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"The body is not JSON; it begins with {quote_excerpt(body[:4096], secrets)}."
    for rule in rules:
        seen = value_at(document, rule.path)
        if not json_holds(rule, seen):
            return f"{_describe_json_rule(rule)}; {_describe_json_value(rule, seen, secrets)}."
    return None


def json_holds(rule: JsonAssertion, seen: Any) -> bool:
    if rule.op == "exists":
        return (seen is not MISSING) == (rule.value is not False)
    if seen is MISSING:
        return False
    if rule.op in ("==", "!="):
        return _equals(seen, rule.value) == (rule.op == "==")
    if rule.op == "contains":
        return _contains(seen, rule.value)
    return _is_number(seen) and _is_number(rule.value) and _COMPARISONS[rule.op](seen, rule.value)


def check_header_rules(rules: Sequence[HeaderAssertion]) -> None:
    """Raises ValueError, naming the field, for an invalid assertion or a contradiction."""
    if len(rules) > ASSERTIONS_MAX:
        raise ValueError(f"header_assertions must be at most {ASSERTIONS_MAX}")
    for rule in rules:
        _check_header_rule(rule)
    absent = {rule.name.lower() for rule in rules if rule.op == "absent"}
    for rule in rules:
        if rule.op != "absent" and rule.name.lower() in absent:
            raise ValueError(f"header_assertions can never hold: {rule.name} must be absent and {rule.op}")


def check_json_rules(rules: Sequence[JsonAssertion]) -> None:
    """Raises ValueError, naming the field, for an invalid or unsatisfiable assertion, or a contradiction."""
    if len(rules) > ASSERTIONS_MAX:
        raise ValueError(f"json_assertions must be at most {ASSERTIONS_MAX}")
    for rule in rules:
        _check_json_rule(rule)
    for path in {parse_path(rule.path) for rule in rules}:
        _check_json_consistency([rule for rule in rules if parse_path(rule.path) == path])


def _check_header_rule(rule: HeaderAssertion) -> None:
    check_header_name("header_assertions", rule.name)
    takes_value = rule.op in ("equals", "matches")
    if takes_value != (rule.value is not None):
        raise ValueError(f"header_assertions: {rule.op} {'needs a' if takes_value else 'takes no'} value")
    if rule.value is None:
        return
    if len(rule.value) > VALUE_LENGTH_MAX or rule.value != rule.value.strip() or not rule.value.isprintable():
        raise ValueError(f"header_assertions must have values of one line, at most {VALUE_LENGTH_MAX} characters")
    if rule.op == "matches":
        check_patterns("header_assertions", (rule.value,))


def _check_json_rule(rule: JsonAssertion) -> None:
    try:
        parse_path(rule.path)
    except ValueError as error:
        raise ValueError(f"json_assertions {error}") from None
    value = rule.value
    if rule.op == "exists":
        if value not in (msgspec.UNSET, True, False) or _is_number(value):
            raise ValueError("json_assertions: exists takes true, false or no value")
    elif value is msgspec.UNSET:
        raise ValueError(f"json_assertions: {rule.op} needs a value")
    elif rule.op in _COMPARISONS and not _is_number(value):
        raise ValueError(f"json_assertions can never hold: {rule.op} compares numbers, not {value!r:.40}")
    if isinstance(value, str) and len(value) > VALUE_LENGTH_MAX:
        raise ValueError(f"json_assertions must have values of at most {VALUE_LENGTH_MAX} characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("json_assertions can never hold: JSON has finite numbers only")


def _check_json_consistency(rules: list[JsonAssertion]) -> None:
    """Rejects contradictory assertions on one path: different values, a value and none, or an empty range."""
    for rule in rules:
        if rule.op == "==" and not all(json_holds(other, rule.value) for other in rules if other.op != "contains"):
            raise ValueError(f"json_assertions can never hold together: those for {rule.path[:40]!r}")
    absent = any(rule.op == "exists" and rule.value is False for rule in rules)
    empty = any(_is_empty_range(low, high) for low in rules for high in rules)
    if empty or (absent and any(rule.op != "exists" or rule.value is not False for rule in rules)):
        raise ValueError(f"json_assertions can never hold together: those for {rules[0].path[:40]!r}")


def _is_empty_range(low: JsonAssertion, high: JsonAssertion) -> bool:
    """Returns whether no number satisfies both bounds."""
    if (
        low.op not in (">", ">=")
        or high.op not in ("<", "<=")
        or not (_is_number(low.value) and _is_number(high.value))
    ):
        return False
    return low.value > high.value or (low.value == high.value and (low.op, high.op) != (">=", "<="))


def _header_holds(rule: HeaderAssertion, values: list[bytes]) -> bool:
    if rule.op == "present":
        return bool(values)
    if rule.op == "absent":
        return not values
    wanted = rule.value or ""
    if rule.op == "equals":
        return wanted.encode() in values
    pattern = compile_pattern(wanted)
    return any(pattern.search(value) is not None for value in values)


def _describe_header_rule(rule: HeaderAssertion) -> str:
    if rule.value is None:
        return f"must be {rule.op}"
    verb = "be" if rule.op == "equals" else "match"
    return f"must {verb} {_format_header_value(rule.name, rule.value)}"


def _describe_headers(name: str, values: list[bytes], secrets: Iterable[str]) -> str:
    if not values:
        return "it is not there"
    return f"it is {_format_header_value(name, b', '.join(values), secrets)}"


def _format_header_value(name: str, value: str | bytes, secrets: Iterable[str] = ()) -> str:
    return "[redacted]" if is_secret_name(name) else quote_excerpt(value, secrets)


def _describe_json_rule(rule: JsonAssertion) -> str:
    if rule.op == "exists":
        return f"{rule.path or '$'} must {'not ' if rule.value is False else ''}exist"
    return f"{rule.path or '$'} must be {rule.op} {_format_value(rule, rule.value)}".replace("be contains", "contain")


def _describe_json_value(rule: JsonAssertion, seen: Any, secrets: Iterable[str]) -> str:
    return "it is not there" if seen is MISSING else f"it is {_format_value(rule, seen, secrets)}"


def _format_value(rule: JsonAssertion, value: Any, secrets: Iterable[str] = ()) -> str:
    keys = [step for step in parse_path(rule.path) if isinstance(step, str)]
    if any(is_secret_name(key) for key in keys):
        return "[redacted]"
    return quote_excerpt(msgspec.json.encode(value), secrets)[1:-1]


def _equals(seen: Any, wanted: Any) -> bool:
    if _is_number(seen) and _is_number(wanted):
        return bool(seen == wanted)
    return type(seen) is type(wanted) and bool(seen == wanted)


def _contains(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, list):
        return any(_equals(each, wanted) for each in seen)
    return isinstance(seen, str | dict) and isinstance(wanted, str) and wanted in seen


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
