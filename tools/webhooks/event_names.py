"""Completes short names of event types: ``order.paid`` and ``order.*``."""

from collections.abc import Collection

ROOT = "ecommerce."
EVERYTHING = "ecommerce.*"


def full_type(text: str, known: Collection[str]) -> str:
    """
    Return the newest type that ``text`` stands for: ``order.paid`` → ``ecommerce.order.order.paid.v1``.

    Args:
        known: every type that is sent. Text that stands for none of them, or for several, is returned as it is, and the
            shop refuses it.
    """
    for whole in (text, ROOT + text):
        if whole in known:
            return whole
    found: dict[str, list[str]] = {}
    for one in known:
        words = one.split(".")[:-1]
        if text in (".".join(words), ".".join(words[1:]), ".".join(words[2:])):
            found.setdefault(".".join(words), []).append(one)
    versions = found.popitem()[1] if len(found) == 1 else [text]
    return max(versions, key=_version)


def full_pattern(text: str, known: Collection[str]) -> str:
    """Return the pattern that ``text`` stands for: ``order.*`` → ``ecommerce.order.*``, ``*`` → every type."""
    if text == "*":
        return EVERYTHING
    if text.endswith(".*"):
        return text if text.startswith(ROOT) else ROOT + text
    return full_type(text, known)


def _version(event_type: str) -> int:
    digits = event_type.rpartition(".v")[2]
    return int(digits) if digits.isdigit() else 0
