"""Decodes CloudEvents of messages whose attributes are plain text, as those of Google Pub/Sub."""

from collections.abc import Mapping

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents, header_text


def of_message(attributes: Mapping[str, str], body: bytes) -> CloudEvent:
    """
    Decode the event of one message, in binary or structured mode; raises as ``cloudevents.decode`` does.

    Args:
        attributes: names in lower case; unlike an HTTP header's, values are not percent-encoded.
    """
    encoded = {
        name: header_text.encode(value) if name.startswith("ce-") else value for name, value in attributes.items()
    }
    return cloudevents.decode(encoded, body)
