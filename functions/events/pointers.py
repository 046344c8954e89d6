"""Finds the part of an event that a problem is about."""

from collections.abc import Mapping

from pulsecart.runtime.problem import Problem

# The member of an event that a problem is about, as a JSON pointer; others are about the event as a whole.
PLACES: Mapping[str, str] = {"wrong-source": "/source", "unknown-type": "/type", "not-allowed": "/type"}


def pointer_of(error: Problem) -> str:
    """Return the JSON pointer, within an event, of what is wrong with it; empty for the event as a whole."""
    if error.type in PLACES:
        return PLACES[error.type]
    return f"/data{error.extra['pointer']}" if "pointer" in error.extra else ""
