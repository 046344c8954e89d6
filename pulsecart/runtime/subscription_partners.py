"""Reads which partner sends the messages of a Pub/Sub subscription, from a setting."""

from collections.abc import Mapping


def partners_of(text: str) -> Mapping[str, str]:
    """
    Return subscription → partner, of ``subscription=partner`` separated by commas.

    Raises:
        ValueError: the text has another form, or names a subscription twice.
    """
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        subscription, _, partner = (part.strip() for part in pair.partition("="))
        if not subscription or not partner or "/" in subscription:
            raise ValueError(f"{pair!r} is not subscription=partner, with the subscription's short name")
        if subscription in found:
            raise ValueError(f"{subscription} has two partners")
        found[subscription] = partner
    return found
