"""Spreads retries over time, so that calls that failed together do not retry together."""

from random import uniform

MORE = 0.5


def jittered(seconds: float) -> float:
    """Return a random delay of ``seconds`` to 1.5 × ``seconds``: never shorter than requested."""
    return seconds * uniform(1.0, 1.0 + MORE)  # noqa: S311  # not a secret
