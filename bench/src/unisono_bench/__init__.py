"""Unisono, baselines and published methods compared on the same cells, each run in a process of its own."""


class ChoiceError(ValueError):
    """An option or a folder that cannot be used; the message says what was found and what to do."""
