"""The base of every kind's options."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec

from libs.model.check import Result
from libs.model.gauge import Gauge


class Spec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """What a kind needs to know to probe one target.

    A kind subclasses this in services/KIND/spec.py with `tag="KIND"`, checks its fields in `__post_init__`
    (a ValueError whose text starts with the field's name), and says in `target` what is being watched.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    # Options that hold a secret. They may not lie on the bus or in a table as they are.
    secret_options: ClassVar[tuple[str, ...]] = ()
    # Options by the names under which Prometheus asks for them (`module`), and a target to try options on.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    sample_target: ClassVar[str] = ""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Returns the spec that `vedette check URL` means, for a URL with one of `schemes`; ValueError if it is bad."""
        raise NotImplementedError

    @classmethod
    def aimed(cls, options: Mapping[str, Any], target: str, hostname: str | None = None) -> dict[str, Any]:
        """Returns `options` with those that make `target` the thing to look at, as GET /probe names it.

        `hostname` is the name to ask the target for, where a kind has such a thing. ValueError if that cannot be.
        """
        raise NotImplementedError(f"{cls.__name__} takes no targets from Prometheus")

    @classmethod
    def gauges(cls, result: Result) -> Sequence[Gauge]:
        """Returns what Prometheus is told of a result beside the numbers that all kinds share."""
        del result
        return ()

    @property
    def target(self) -> str:
        """The thing that is watched, for lists and messages: never with secrets in it."""
        raise NotImplementedError
