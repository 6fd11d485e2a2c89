"""Error for the operator at the terminal."""


class StartError(Exception):
    """The process cannot start or continue; the text is one sentence with the reason and the remedy."""
