"""
Lists the accepted differences between brokers, by the rule's name in docs/conformance.md. A test looks here before
it expects another result of one broker; every rule that is not listed is the same everywhere.
"""

from tests.conformance.broker import BrokerUnderTest

IN_MEMORY, JETSTREAM = "cluster", "jetstream"
DIFFERENCES: dict[str, frozenset[str]] = {
    "Any client may send": frozenset((IN_MEMORY, JETSTREAM)),
    "202 at once": frozenset((IN_MEMORY,)),
    "Order per key": frozenset((JETSTREAM,)),
    "The cause of a failure without a status": frozenset((IN_MEMORY, JETSTREAM)),
    "A dead letter that its sink rejects": frozenset((IN_MEMORY, JETSTREAM)),
    "404 and 409 are retried": frozenset((JETSTREAM,)),
    "An event arrives as it was sent": frozenset((JETSTREAM,)),
    "A final status is a dead letter at once": frozenset((JETSTREAM,)),
    "JSON data has any media type": frozenset((IN_MEMORY, JETSTREAM)),
    "JSON data begins with its value": frozenset((IN_MEMORY,)),
    "Attributes are percent-encoded": frozenset((IN_MEMORY, JETSTREAM)),
    "A time keeps its sender's text": frozenset((IN_MEMORY, JETSTREAM)),
    "Nothing is added": frozenset((IN_MEMORY, JETSTREAM)),
}


def differs(broker: BrokerUnderTest, rule: str) -> bool:
    """Whether this broker departs from the rule."""
    return broker.flavour in DIFFERENCES[rule]
