"""An event of each type, with the first example of its contract as data."""

import msgspec

from pulsecart.runtime.contracts import schema
from pulsecart.runtime.event import CloudEvent, Message, padded, schema_of


def example(message: type[Message]) -> CloudEvent:
    data = schema(message.TYPE)["examples"][0]
    key = str(next(iter(data.values())))
    return CloudEvent(
        id=f"example-of-{message.__name__}",
        source="/pulsecart/examples",
        type=message.TYPE,
        subject=key,
        dataschema=schema_of(message.TYPE),
        data=msgspec.json.encode(data),
        extensions={"partitionkey": key, "sequence": padded(1)},
    )
