"""Defines the events that the delivery tests send, and the attributes that they expect of a dead letter."""

from typing import Any
from urllib.parse import urlsplit

from pulsecart.runtime.event import CloudEvent, new_id
from tests.conformance.broker import BrokerUnderTest
from tests.conformance.differences import differs
from tests.conformance.subscriber import Subscriber


def event(id: str = "", key: str = "k", type: str = "asked.v1", **extensions: str) -> CloudEvent:
    named = id or new_id()
    return CloudEvent(
        id=named, source="/test", type=type, data=b'{"a":1}', extensions={"partitionkey": key, **extensions}
    )


def quick(**more: Any) -> dict[str, Any]:
    return {"delivery": {"retry": 2, "backoffPolicy": "linear", "backoffDelay": "PT0.02S", **more}}


def assert_cause(broker: BrokerUnderTest, sink: Subscriber, dest: str, code: str) -> None:
    """Check the cause of a failure without a response status; the sink's path names the Trigger in any case."""
    assert sink.got[0].path == urlsplit(dest).path
    extensions = sink.got[0].event.extensions
    if differs(broker, "The cause of a failure without a status"):
        assert "knativeerrordest" not in extensions
    else:
        assert (extensions["knativeerrordest"], extensions["knativeerrorcode"]) == (dest, code)
