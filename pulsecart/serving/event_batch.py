"""Splits a batch of CloudEvents in JSON (application/cloudevents-batch+json) into its members."""

from collections.abc import Mapping

import msgspec

from pulsecart.serving.cloudevents import media_of, parsed

BATCH = "application/cloudevents-batch+json"
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


def is_batch(headers: Mapping[str, str]) -> bool:
    """Return whether an HTTP message, with header names in lower case, is a batch in JSON."""
    return media_of(headers.get("content-type", "")) == BATCH


def members(body: bytes) -> list[msgspec.Raw]:
    """
    Return the members as they were sent; ``cloudevents.from_json`` decodes each by itself, so that it fails alone.

    Raises:
        Malformed: the body is no JSON array.
    """
    split: list[msgspec.Raw] = parsed(_decode, body)
    return split
