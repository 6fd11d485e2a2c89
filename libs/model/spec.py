"""The base of every kind's options."""

from typing import ClassVar, Self

import msgspec


class Spec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True):
    """What a kind needs to know to probe one target.

    A kind subclasses this in services/KIND/spec.py with `tag="KIND"`, checks its fields in `__post_init__`
    (a ValueError whose text starts with the field's name), and says in `target` what is being watched.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    # Options that hold a secret. They may not lie on the bus or in a table as they are.
    secret_options: ClassVar[tuple[str, ...]] = ()
    # Facts of hops that say the same at every tick of a healthy target: the result of a tick that is up leaves them out.
    lasting_facts: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Returns the spec that `vedette check URL` means, for a URL with one of `schemes`; ValueError if it is bad."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """The thing that is watched, for lists and messages: never with secrets in it."""
        raise NotImplementedError
