"""Retries that do not meet: what failed together, or at several processes at once, comes again at different times."""

from random import uniform

MORE = 0.5


def jittered(seconds: float) -> float:
    """``seconds``, or up to half as long again: never earlier than asked for."""
    return seconds * uniform(1.0, 1.0 + MORE)  # noqa: S311  # no secret
