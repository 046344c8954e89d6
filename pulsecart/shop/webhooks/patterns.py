"""Decides which event types a subscription may name: types that have a contract and are sent, or prefixes of them."""

from collections.abc import Collection, Sequence

from pulsecart.runtime.problem import Unprocessable
from pulsecart.shop.webhooks.subscription import NOT_SENT, patterns_of

SHOWN = 3  # unknown types that a problem names


def sent_types(event_types: Collection[str]) -> frozenset[str]:
    """Return the types of events that webhooks send: all but those about webhooks."""
    return frozenset(one for one in event_types if not one.startswith(NOT_SENT))


def check_patterns(patterns: Sequence[str], event_types: Collection[str]) -> tuple[str, ...]:
    """
    Return the patterns without repetitions, in their order.

    Args:
        event_types: every type that has a contract.

    Raises:
        Unprocessable: a pattern matches no event that webhooks send.
    """
    known = {pattern for one in sent_types(event_types) for pattern in patterns_of(one)}
    unknown = [pattern for pattern in patterns if pattern not in known]
    if unknown:
        raise unknown_types(unknown)
    return tuple(dict.fromkeys(patterns))


def unknown_types(given: Sequence[str]) -> Unprocessable:
    """Return the problem for event types that webhooks never send."""
    more = f" and {len(given) - SHOWN} more" if len(given) > SHOWN else ""
    named = ", ".join(given[:SHOWN]) + more
    return Unprocessable(
        "unknown-event-type",
        f"No event of this type is sent: {named}. Send a type with its version, or a prefix that ends in .*",
        eventTypes=list(given),
    )
