"""Names topics and subscriptions of Google Pub/Sub."""

import re
from urllib.parse import quote

NAME_MAX = 255
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.~+%-]{2,254}")


class BadName(ValueError):
    """The name is none that Pub/Sub accepts; the message states the rule."""


def topic_of(event_type: str, prefix: str) -> str:
    """
    Return the topic of an event type: the prefix, then the type; characters that Pub/Sub does not accept are
    percent-encoded.

    Raises:
        BadName: the result is too long, or does not begin with a letter.
    """
    return checked(prefix + quote(event_type, safe="+"))


def checked(name: str) -> str:
    """
    Return ``name`` if Pub/Sub accepts it as the name of a topic or subscription.

    Raises:
        BadName: it does not.
    """
    if not _NAME.fullmatch(name) or name.startswith("goog"):
        raise BadName(
            f"{name[:80]!r} is no name in Pub/Sub: 3 to {NAME_MAX} letters, digits and _.~+%-, the first a letter, "
            "not beginning with goog"
        )
    return name


def topic_path(project: str, topic: str) -> str:
    """Return a topic's full name."""
    return f"projects/{project}/topics/{topic}"


def subscription_path(project: str, subscription: str) -> str:
    """Return a subscription's full name."""
    return f"projects/{project}/subscriptions/{subscription}"
