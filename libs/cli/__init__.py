"""Commands of `vedette`."""
