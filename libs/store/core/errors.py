"""Errors of the store."""


class StoreError(Exception):
    """Postgres refused a statement: a bug of ours, unless it is one of the errors below."""


class UnavailableError(StoreError):
    """Postgres does not answer, is full or is restarting: the same call may work in a moment."""


class RolledBackError(UnavailableError):
    """Postgres undid the transaction for one that runs at the same time: the whole of it may be done again at once."""


class SchemaMismatchError(StoreError):
    """The database lacks a table or a column: it is not the one that the migrations of this version made."""


class InvalidValueError(StoreError):
    """A value cannot be stored, such as text with a NUL or a row that breaks a constraint: trying again is useless."""


class DuplicateError(InvalidValueError):
    """A row with this key exists already."""


class ForeignKeyError(InvalidValueError):
    """The row refers to one that is not there."""
