"""What `vedette check --set` means by a value."""

from typing import Any

import pytest

from libs.cli.check import CheckOptions, build_spec


def spec_with(**fields: Any) -> Any:
    return build_spec(CheckOptions("http://shop.example/", 1.0, fields, as_json=False))


def test_a_number_is_text_where_the_field_takes_text() -> None:
    spec = spec_with(family=4, bearer_token=7, redirects_max=3)
    assert (spec.family, spec.bearer_token, spec.redirects_max) == ("4", "7", 3)


@pytest.mark.parametrize(("fields", "words"), [({"family": 5}, "family"), ({"redirects_max": "x"}, "redirects_max")])
def test_a_value_that_fits_nowhere_is_refused_by_the_name_of_its_field(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spec_with(**fields)
