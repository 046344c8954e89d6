"""Runs the cloudevents SDK for Python, 1.x, as a foreign program; tests/strangers/sdks.py defines its output."""

import sys
from typing import Any

from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from python_stranger import Message, as_parsed, as_text, data_of, main


def write(asked: dict[str, Any]) -> Message:
    binary = asked["mode"] == "binary"
    extensions = {name: as_text(value) if binary else value for name, value in asked["extensions"].items()}
    event = CloudEvent({**asked["attributes"], **extensions}, data_of(asked) if binary else as_parsed(asked))
    if not binary:
        return to_structured(event)
    headers, body = to_binary(event, data_marshaller=lambda data: b"" if data is None else data)
    return headers, body


def read(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    event = from_http(headers, body, data_unmarshaller=lambda data: data)
    return dict(event.get_attributes())


if __name__ == "__main__":
    main(sys.argv, write, read)
