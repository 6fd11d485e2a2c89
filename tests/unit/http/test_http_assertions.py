"""Header assertions, JSON assertions and patterns, compared with plain Python."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.http.rules.assertions import (
    HeaderAssertion,
    JsonAssertion,
    check_json_rules,
    json_holds,
    unmet_header,
    unmet_json,
)
from services.http.rules.json_path import MISSING, parse_path, value_at
from services.http.rules.patterns import PROGRAM_SIZE_MAX, STEPS_MAX, compile_pattern, text_bytes_max
from services.http.spec import HttpSpec

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
OPS = ("==", "!=", "<", "<=", ">", ">=", "contains", "exists")


def places(document: Any, path: str = "$") -> list[tuple[str, Any]]:
    """Returns every path of a document, with its value."""
    found = [(path, document)]
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, f"{path}[{json.dumps(key)}]")
    if isinstance(document, list):
        for index, value in enumerate(document):
            found += places(value, f"{path}[{index}]")
    return found


@given(documents)
def test_every_value_has_a_path(document: Any) -> None:
    for path, value in places(document):
        assert value_at(document, path) is value


@given(st.text(max_size=30) | st.text("ab.[]$0-1\"'", max_size=12))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        found = parse_path(text)
    except ValueError as error:
        assert str(error).startswith("must have paths")  # noqa: PT017 - either is well
        return
    assert value_at({}, text) is (MISSING if found else value_at({}, "$")) or not found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", ()),
        ("a", ("a",)),
        ("$.a.b-c_d", ("a", "b-c_d")),
        ("a[0][-1].b", ("a", 0, -1, "b")),
        ("[2]", (2,)),
        ("a['b.c'][\"d\\u0041\"]", ("a", "b.c", "dA")),
        ("0", ("0",)),
        ("größe", ("größe",)),
    ],
)
def test_paths_select_values(path: str, found: tuple[str | int, ...]) -> None:
    assert parse_path(path) == found


@pytest.mark.parametrize(
    "path", ["", ".a", "a.", "$a", "a[]", "a[01]", "a[*]", "a b", "..a", "a['b]", "a[0]b", "$.", "@.a"]
)
def test_an_ambiguous_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must have paths"):
        parse_path(path)


@given(scalars, scalars)
def test_types_matter(seen: Any, wanted: Any) -> None:
    same = json_holds(JsonAssertion(path="a", op="==", value=wanted), seen)
    assert same == (seen == wanted and isinstance(seen, bool) == isinstance(wanted, bool))
    assert same != json_holds(JsonAssertion(path="a", op="!=", value=wanted), seen)


@given(st.sampled_from(OPS[2:6]), st.integers(-3, 3) | st.floats(-3, 3), documents)
def test_only_numbers_are_less_or_more(op: Any, wanted: float, seen: Any) -> None:
    held = json_holds(JsonAssertion(path="a", op=op, value=wanted), seen)
    number = isinstance(seen, int | float) and not isinstance(seen, bool)
    assert held == (number and eval(f"{seen!r} {op} {wanted!r}"))


@given(st.lists(st.tuples(st.sampled_from(OPS), scalars), max_size=4), documents)
def test_satisfiable_assertions_are_not_refused(rules: list[tuple[Any, Any]], seen: Any) -> None:
    made = tuple(JsonAssertion(path="a", op=op, value=value) for op, value in rules if op != "exists")
    if all(json_holds(rule, seen) for rule in made):
        check_json_rules(made)
        assert unmet_json(made, json.dumps({"a": seen}).encode(), ()) is None


@given(documents, st.sampled_from(OPS[:2]), scalars)
def test_a_failed_assertion_is_described_with_the_actual_value(document: Any, op: Any, value: Any) -> None:
    sentence = unmet_json([JsonAssertion(path="$.x", op=op, value=value)], json.dumps({"y": document}).encode(), ())
    assert sentence is not None
    assert sentence.startswith("$.x must be ")
    assert sentence.endswith("it is not there.")
    assert len(sentence) < 1000


def test_the_actual_value_is_short_and_without_secrets() -> None:
    body = json.dumps({"token": "hunter2", "text": "x" * 500, "say": "s3cr3t-s3cr3t"}).encode()
    rules = [JsonAssertion(path=path, op="==", value=1) for path in ("token", "text", "say")]
    told = [unmet_json([rule], body, {"s3cr3t-s3cr3t"}) or "" for rule in rules]
    assert all(len(each) < 200 for each in told)
    assert not any(secret in each for each in told for secret in ("hunter2", "s3cr3t"))
    assert told[1].startswith('text must be == 1; it is "xxxx')


@given(st.lists(st.sampled_from(["a", "b", "Set-Cookie", "A"]), max_size=4), st.sampled_from(["a", "B", "c"]))
def test_one_of_repeated_headers_must_match(names: list[str], name: str) -> None:
    headers = [(each.encode(), f" {index} ".encode()) for index, each in enumerate(names)]
    values = [str(index) for index, each in enumerate(names) if each.lower() == name.lower()]

    def holds(op: Any, value: str | None = None) -> bool:
        return unmet_header([HeaderAssertion(name=name, op=op, value=value)], headers, ()) is None

    assert holds("present") == bool(values)
    assert holds("absent") == (not values)
    assert holds("equals", "1") == ("1" in values)
    assert holds("matches", "^[12]$") == bool({"1", "2"} & set(values))


def test_the_value_of_a_secret_header_is_redacted() -> None:
    rule = HeaderAssertion(name="Set-Cookie", op="equals", value="a=b")
    sentence = unmet_header([rule], [(b"set-cookie", b"sid=hunter2")], ())
    assert sentence == "The header Set-Cookie must be [redacted]; it is [redacted]."


@given(st.text("ab(|)*+?[]^$.", max_size=10), st.text("ab", max_size=12))
def test_patterns_match_as_in_python(pattern: str, text: str) -> None:
    try:
        ours = compile_pattern(pattern)
        theirs = re.compile(pattern)
    except (ValueError, re.error, FutureWarning):
        return
    assert (ours.search(text.encode()) is None) == (theirs.search(text) is None)


def test_large_patterns_search_less_text() -> None:
    assert text_bytes_max(("ok",)) > 1 << 20
    large = "[ab]*a[ab]{200}c"
    assert text_bytes_max((large,)) * compile_pattern(large).size <= STEPS_MAX
    assert HttpSpec(url="http://a.example/", body_matches=(large,)).buffered_bytes_max < 1 << 19
    with pytest.raises(ValueError, match=f"{PROGRAM_SIZE_MAX} is the most"):
        compile_pattern(r"(?:\pL\pN?){0,20}")


def test_deeply_nested_json_is_a_verdict() -> None:
    assert unmet_json([JsonAssertion(path="a")], b"[" * 1_000_000, ()) is not None
    assert unmet_json([JsonAssertion(path="a")], b'{"a": 1e999}', ()) in (
        None,
        "The body is not JSON; it begins with '{\"a\": 1e999}'.",
    )
    assert msgspec.json.encode(JsonAssertion(path="a")) == b'{"path":"a"}'
