"""The one exception that is meant for the person at the terminal."""


class StartError(Exception):
    """The process cannot start or go on; the text is one sentence that says why and what to do."""
