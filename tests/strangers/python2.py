"""Runs the cloudevents SDK for Python, 2.x, as a foreign program; tests/strangers/sdks.py defines its output."""

import sys
from datetime import datetime
from typing import Any

from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http,
    to_binary,
    to_structured,
)
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse
from python_stranger import Message, as_parsed, data_of, main


def write(asked: dict[str, Any]) -> Message:
    binary = asked["mode"] == "binary"
    attributes = {**asked["attributes"], **asked["extensions"]}
    if "time" in attributes:
        attributes["time"] = isoparse(attributes["time"])
    event = CloudEvent(attributes, data_of(asked) if binary else as_parsed(asked))
    message = (to_binary if binary else to_structured)(event, JSONFormat())
    return message.headers, message.body


def read(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    attributes = from_http(HTTPMessage(headers, body), JSONFormat()).get_attributes()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in attributes.items()}


if __name__ == "__main__":
    main(sys.argv, write, read)
