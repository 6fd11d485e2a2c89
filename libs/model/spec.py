"""Base class of the options of every kind."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec
from msgspec import inspect

from libs.model.check import Result
from libs.model.gauge import Gauge

# Where a secret stands in a spec as JSON: the option's name, and in an option that maps names to values that name, too.
SecretPath = tuple[str, ...]

_PLACEHOLDER = "sealed"


class Spec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """Base class of the options of a kind: everything that its probe needs to check one target.

    A kind subclasses this in services/KIND/spec.py with `tag="KIND"`, validates its fields in `__post_init__`
    (a ValueError whose text starts with the field's name), and returns in `target` what is checked.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    # Options that hold a secret. They are stored and published only sealed.
    secret_options: ClassVar[tuple[str, ...]] = ()
    # Options that map names to values; a value is secret if `is_secret_name` holds for its name.
    secret_maps: ClassVar[tuple[str, ...]] = ()
    # Facts of hops that are the same at every tick of a healthy target: results of scheduled checks that are up omit them.
    static_facts: ClassVar[frozenset[str]] = frozenset()
    # Options by module name for GET /probe?module=NAME, and a target to validate options with.
    prometheus_modules: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    sample_target: ClassVar[str] = ""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Returns the spec for `vedette check URL`, for a URL with one of `schemes`. ValueError if it is invalid."""
        raise NotImplementedError

    @classmethod
    def with_target(cls, options: Mapping[str, Any], target: str, hostname: str | None = None) -> dict[str, Any]:
        """Returns `options` completed for the parameter `target` of GET /probe.

        `hostname` is the host name to request from the target, where the kind has one. ValueError if invalid.
        """
        raise NotImplementedError(f"{cls.__name__} takes no targets from Prometheus")

    @classmethod
    def gauges(cls, result: Result) -> Sequence[Gauge]:
        """Returns the Prometheus gauges of a result, beside those that all kinds share."""
        del result
        return ()

    @property
    def target(self) -> str:
        """Name of the target for lists and messages, without secrets."""
        raise NotImplementedError

    @property
    def recipient(self) -> str:
        """Whom the secrets are shown to, with everything that decides who that is; shown to people.

        A secret is sealed for one recipient and never opened for another. So this must stay as it is for specs that
        are stored already: what is added later may appear only where an option that is new is not at its default.
        """
        return self.target

    @classmethod
    def is_secret_name(cls, name: str) -> bool:  # noqa: ARG003 - kinds look at the name
        """Tells whether the value under this name, in one of `secret_maps`, is a secret."""
        return True

    @classmethod
    def secret_paths(cls, spec: Any) -> list[SecretPath]:
        """Returns where secrets stand in `spec`, a spec of this kind as JSON; it need not be a valid one."""
        if not isinstance(spec, dict):
            return []
        paths: list[SecretPath] = [(name,) for name in cls.secret_options if spec.get(name) is not None]
        for option in cls.secret_maps:
            names = spec.get(option)
            if isinstance(names, dict):
                paths += [(option, name) for name in names if cls.is_secret_name(name)]
        return paths

    @classmethod
    def placeholder(cls, path: SecretPath) -> Any:
        """Returns a value of the right shape for a secret that is not known here, so that all other rules apply."""
        if len(path) > 1:
            return _PLACEHOLDER
        hints = {field.encode_name: field.type for field in msgspec.structs.fields(cls)}
        return _placeholder_of(inspect.type_info(hints[path[0]]))


def _placeholder_of(info: inspect.Type) -> Any:
    """Returns some JSON of this type: for an object its required fields, for a choice the first that is not null."""
    match info:
        case inspect.Metadata():
            return _placeholder_of(info.type)
        case inspect.UnionType():
            return _placeholder_of(next(each for each in info.types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType():
            return {field.encode_name: _placeholder_of(field.type) for field in info.fields if field.required}
        case _:
            return _PLACEHOLDER
