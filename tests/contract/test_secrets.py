"""What every kind promises about its secrets."""

import msgspec
import pytest
from msgspec import inspect

from libs.kinds.registry import kinds


@pytest.mark.parametrize("kind", kinds())
def test_every_secret_of_a_kind_is_an_option_of_it(kind: str):
    names = {field.encode_name for field in msgspec.structs.fields(kinds()[kind])}
    assert set(kinds()[kind].secret_options) | set(kinds()[kind].secret_maps) <= names


@pytest.mark.parametrize("kind", kinds())
def test_every_secret_of_a_kind_has_a_stand_in_of_its_shape(kind: str):
    spec = kinds()[kind]
    types = {field.encode_name: field.type for field in msgspec.structs.fields(spec)}
    for name in spec.secret_options:
        assert msgspec.convert(spec.placeholder((name,)), types[name]) is not None


@pytest.mark.parametrize("kind", kinds())
def test_options_whose_names_speak_of_secrets_are_secret(kind: str):
    words = ("password", "token", "auth", "secret", "_key", "credential", "private")
    telling = {
        field.encode_name
        for field in msgspec.structs.fields(kinds()[kind])
        if any(word in field.encode_name for word in words)
        and not isinstance(inspect.type_info(field.type), inspect.BoolType | inspect.IntType | inspect.FloatType)
    }
    assert telling <= set(kinds()[kind].secret_options)
